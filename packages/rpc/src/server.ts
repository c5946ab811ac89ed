import { ErrataError } from '@errata/contracts';
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import { toStatus } from './errors.js';

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
 * Serves gRPC with the standard health service (grpc.health.v1).
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
    run(call, async (context) => {
      for await (const message of handler(call.request, context)) {
        context.signal.throwIfAborted();
        if (!call.write(message)) await drained(call, context.signal);
      }
    }).then(
      () => call.end(),
      (error: unknown) => call.emit('error', toStatus(error)),
    );
  };
}

async function run<Request, Response, Result>(
  call: ServerUnaryCall<Request, Response> | ServerWritableStream<Request, Response>,
  work: (context: CallContext) => Promise<Result>,
): Promise<Result> {
  const deadline = new Date(call.getDeadline() as Date | number);
  if (!Number.isFinite(deadline.getTime()))
    throw new ErrataError('INVALID_REQUEST', `${call.getPath()} needs a deadline`);
  const abort = new AbortController();
  call.on('cancelled', () =>
    abort.abort(new ErrataError('CANCELLED', `${call.getPath()} was cancelled by the caller or its deadline`)),
  );
  return work({ signal: abort.signal, deadline });
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
