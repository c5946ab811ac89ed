import { ErrataError } from '@errata/contracts';
import {
  type handleBidiStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import { toStatus } from './errors.js';
import { addReflection } from './reflection.js';
import { traceHandler } from './tracing.js';

/** Largest message in bytes: a chunk, or the keys and factors of a batch of 256 at the widest layers in use. */
export const maxMessageBytes = 64 << 20;

/** What a handler knows of its call. */
export interface CallContext {
  /** Aborts when the caller cancels, disconnects or its deadline passes. */
  readonly signal: AbortSignal;
  readonly deadline: Date;
}

export interface ServiceBinding {
  /** Full name, such as `errata.v1.ShardService`; its health is reported under it. */
  readonly name: string;
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

export interface RunningServer {
  /** host:port that is listened on. */
  readonly address: string;
  /** Answers NOT_SERVING, lets calls in flight finish for `graceMs`, then ends them. */
  stop(graceMs?: number): Promise<void>;
}

/**
 * Serves gRPC with the standard services for health (grpc.health.v1) and reflection (grpc.reflection.v1 and v1alpha).
 * @param listen host:port; port 0 picks a free one
 */
export async function serve(listen: string, services: readonly ServiceBinding[]): Promise<RunningServer> {
  const server = new Server({
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_send_message_length': maxMessageBytes,
  });
  const health = new HealthImplementation({
    '': 'SERVING',
    ...Object.fromEntries(services.map((s) => [s.name, 'SERVING' as const])),
  });
  health.addToServer(server);
  addReflection(
    server,
    services.map((s) => s.name),
  );
  for (const service of services) server.addService(service.definition, service.implementation);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync(listen, ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  return {
    address: `${listen.slice(0, listen.lastIndexOf(':'))}:${port}`,
    async stop(graceMs = 5000) {
      for (const name of ['', ...services.map((s) => s.name)]) health.setStatus(name, 'NOT_SERVING');
      await new Promise<void>((resolve) => {
        const timer = setTimeout(() => {
          server.forceShutdown();
          resolve();
        }, graceMs);
        server.tryShutdown(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    },
  };
}

/** A unary method from an async function. Callers must set a deadline; errors become statuses. */
export function unary<Request, Response>(
  handler: (request: Request, context: CallContext) => Promise<Response>,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    run(call, (context) => handler(call.request, context)).then(
      (response) => callback(null, response),
      (error: unknown) => callback(toStatus(error)),
    );
  };
}

/** A server-streaming method from an async generator; waits for the peer when it reads slowly. */
export function serverStream<Request, Response>(
  handler: (request: Request, context: CallContext) => AsyncIterable<Response>,
): handleServerStreamingCall<Request, Response> {
  return (call) => {
    run(call, (context) => answer(call, handler(call.request, context), context.signal)).then(
      () => call.end(),
      (error: unknown) => call.emit('error', toStatus(error)),
    );
  };
}

/**
 * A method with streams both ways. Requests are read only as fast as the handler asks for them, answers written as fast
 * as the peer reads them; the call ends when the handler does.
 */
export function bidi<Request, Response>(
  handler: (requests: AsyncIterable<Request>, context: CallContext) => AsyncIterable<Response>,
): handleBidiStreamingCall<Request, Response> {
  return (call) => {
    run(call, (context) => answer(call, handler(received(call, context.signal), context), context.signal)).then(
      () => call.end(),
      (error: unknown) => call.emit('error', toStatus(error)),
    );
  };
}

async function answer<Response>(
  call: NodeJS.EventEmitter & { write(message: Response): boolean },
  messages: AsyncIterable<Response>,
  signal: AbortSignal,
): Promise<void> {
  for await (const message of messages) {
    signal.throwIfAborted();
    if (!call.write(message)) await drained(call, signal);
  }
}

/** The messages of a peer; leaving the loop early does not close the call, which still has to carry the answer. */
async function* received<Request>(
  call: ServerDuplexStream<Request, unknown>,
  signal: AbortSignal,
): AsyncGenerator<Request> {
  const messages = call.iterator({ destroyOnReturn: false }) as AsyncIterator<Request>;
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
  });
  aborted.catch(() => undefined);
  try {
    for (;;) {
      signal.throwIfAborted();
      const next = await Promise.race([messages.next(), aborted]);
      if (next.done) return;
      yield next.value;
    }
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

async function run<Result>(
  call: NodeJS.EventEmitter & Pick<ServerUnaryCall<unknown, unknown>, 'getDeadline' | 'getPath' | 'metadata'>,
  work: (context: CallContext) => Promise<Result>,
): Promise<Result> {
  const deadline = new Date(call.getDeadline() as Date | number);
  if (!Number.isFinite(deadline.getTime()))
    throw new ErrataError('INVALID_REQUEST', `${call.getPath()} needs a deadline`);
  const abort = new AbortController();
  call.on('cancelled', () =>
    abort.abort(new ErrataError('CANCELLED', `${call.getPath()} was cancelled by the caller or its deadline`)),
  );
  return traceHandler(call.getPath(), call.metadata, () => work({ signal: abort.signal, deadline }));
}

function drained(stream: NodeJS.EventEmitter, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      stream.off('drain', onDrain);
      reject(signal.reason);
    };
    const onDrain = () => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    };
    stream.once('drain', onDrain);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
