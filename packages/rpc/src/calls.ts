import {
  type CallOptions,
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientUnaryCall,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { fromServiceError } from './errors.js';
import { maxMessageBytes } from './server.js';
import { traceCalls } from './tracing.js';

/** How long a call may take, and what ends it early. */
export interface CallLimits {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export const channelOptions = {
  'grpc.max_receive_message_length': maxMessageBytes,
  'grpc.max_send_message_length': maxMessageBytes,
  // A restarted peer is found again within a second or two instead of the default two minutes.
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2000,
};

/** Those, with a span for every call. */
export const tracedChannelOptions = { ...channelOptions, interceptors: [traceCalls] };

type UnaryMethod<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => ClientUnaryCall;

type StreamMethod<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
) => ClientReadableStream<Response>;

type DuplexMethod<Request, Response> = (
  metadata: Metadata,
  options: Partial<CallOptions>,
) => ClientDuplexStream<Request, Response>;

/** Calls of a generated client as promises and generators. All throw ErrataError. @param peer its name in messages */
export function callsOf(client: Client, peer: string) {
  async function* messagesOf<Response>(
    call: ClientReadableStream<Response> | ClientDuplexStream<never, Response>,
    limits: CallLimits,
  ): AsyncGenerator<Response> {
    const cancel = () => call.cancel();
    limits.signal?.addEventListener('abort', cancel, { once: true });
    try {
      for await (const message of call) yield message as Response;
    } catch (error) {
      throw fromServiceError(error as ServiceError, peer);
    } finally {
      limits.signal?.removeEventListener('abort', cancel);
      call.cancel();
    }
  }
  const optionsOf = (limits: CallLimits) => {
    limits.signal?.throwIfAborted();
    return { deadline: Date.now() + limits.timeoutMs };
  };

  return {
    unary<Request, Response>(
      method: UnaryMethod<Request, Response>,
      request: Request,
      limits: CallLimits,
    ): Promise<Response> {
      return new Promise((resolve, reject) => {
        const options = optionsOf(limits);
        const cancel = () => call.cancel();
        const call = method.call(client, request, new Metadata(), options, (error, response) => {
          limits.signal?.removeEventListener('abort', cancel);
          if (error) reject(fromServiceError(error, peer));
          else resolve(response);
        });
        limits.signal?.addEventListener('abort', cancel, { once: true });
      });
    },

    async *stream<Request, Response>(
      method: StreamMethod<Request, Response>,
      request: Request,
      limits: CallLimits,
    ): AsyncGenerator<Response> {
      yield* messagesOf(method.call(client, request, new Metadata(), optionsOf(limits)), limits);
    },

    /** Sends the requests as fast as the peer takes them, and yields its answers meanwhile. */
    async *duplex<Request, Response>(
      method: DuplexMethod<Request, Response>,
      requests: Iterable<Request>,
      limits: CallLimits,
    ): AsyncGenerator<Response> {
      const call = method.call(client, new Metadata(), optionsOf(limits));
      let over = false;
      const ended = new Promise<void>((resolve) => {
        const end = () => {
          over = true;
          resolve();
        };
        call.once('status', end).once('close', end).once('error', end);
      });
      const send = async () => {
        for (const request of requests) {
          if (over) return;
          if (!call.write(request))
            await Promise.race([new Promise<void>((resolve) => call.once('drain', resolve)), ended]);
        }
        call.end();
      };
      // A failure of the call shows where the answers are read; one of the requests themselves must end the call.
      let sendingFailed: unknown;
      const sending = send().catch((error: unknown) => {
        sendingFailed = error;
        call.cancel();
      });
      try {
        yield* messagesOf(call as ClientDuplexStream<never, Response>, limits);
      } catch (error) {
        throw sendingFailed ?? error;
      }
      await sending;
    },
  };
}
