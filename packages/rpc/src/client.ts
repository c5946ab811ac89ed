import {
  type CallOptions,
  type Client,
  type ClientReadableStream,
  type ClientUnaryCall,
  credentials,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { fromServiceError } from './errors.js';
import {
  type ComputeKeysRequest,
  type ComputeKeysResponse,
  type CovarianceRequest,
  type CovarianceResponse,
  type GenerateRequest,
  type GenerateResponse,
  type InfoResponse,
  ModelRuntimeServiceClient,
  type PerplexityRequest,
  type PerplexityResponse,
  type ResolveTargetsRequest,
  type ResolveTargetsResponse,
  type ScoreRequest,
  type ScoreResponse,
} from './generated/errata/v1/model_runtime.js';
import {
  type ApplyRequest,
  type ApplyResponse,
  type MaterializeRequest,
  type MaterializeResponse,
  type RevokeRequest,
  type RevokeResponse,
  ShardServiceClient,
  type StatsRequest,
  type StatsResponse,
  type VerifyRequest,
  type VerifyResponse,
} from './generated/errata/v1/shard.js';
import { maxMessageBytes } from './server.js';

/** How long a call may take, and what ends it early. */
export interface CallLimits {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Calls of the model runtime. All throw ErrataError. */
export interface ModelRuntime {
  readonly address: string;
  info(limits: CallLimits): Promise<InfoResponse>;
  resolveTargets(request: ResolveTargetsRequest, limits: CallLimits): AsyncIterable<ResolveTargetsResponse>;
  computeKeys(request: ComputeKeysRequest, limits: CallLimits): Promise<ComputeKeysResponse>;
  score(request: ScoreRequest, limits: CallLimits): Promise<ScoreResponse>;
  generate(request: GenerateRequest, limits: CallLimits): Promise<GenerateResponse>;
  perplexity(request: PerplexityRequest, limits: CallLimits): Promise<PerplexityResponse>;
  covariance(request: CovarianceRequest, limits: CallLimits): AsyncIterable<CovarianceResponse>;
  close(): void;
}

/** Calls of a shard worker. All throw ErrataError. */
export interface ShardWorker {
  readonly address: string;
  apply(request: ApplyRequest, limits: CallLimits): Promise<ApplyResponse>;
  revoke(request: RevokeRequest, limits: CallLimits): Promise<RevokeResponse>;
  stats(request: StatsRequest, limits: CallLimits): Promise<StatsResponse>;
  materialize(request: MaterializeRequest, limits: CallLimits): AsyncIterable<MaterializeResponse>;
  verify(request: VerifyRequest, limits: CallLimits): Promise<VerifyResponse>;
  close(): void;
}

const channelOptions = {
  'grpc.max_receive_message_length': maxMessageBytes,
  'grpc.max_send_message_length': maxMessageBytes,
  // A restarted peer is found again within a second or two instead of the default two minutes.
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2000,
};

/** Connects lazily to a model runtime at host:port. */
export function connectModelRuntime(address: string): ModelRuntime {
  const client = new ModelRuntimeServiceClient(address, credentials.createInsecure(), channelOptions);
  const call = callsOf(client, `model-runtime ${address}`);
  return {
    address,
    info: (limits) => call.unary(client.info, {}, limits),
    resolveTargets: (request, limits) => call.stream(client.resolveTargets, request, limits),
    computeKeys: (request, limits) => call.unary(client.computeKeys, request, limits),
    score: (request, limits) => call.unary(client.score, request, limits),
    generate: (request, limits) => call.unary(client.generate, request, limits),
    perplexity: (request, limits) => call.unary(client.perplexity, request, limits),
    covariance: (request, limits) => call.stream(client.covariance, request, limits),
    close: () => client.close(),
  };
}

/** Connects lazily to a shard worker at host:port. */
export function connectShardWorker(address: string): ShardWorker {
  const client = new ShardServiceClient(address, credentials.createInsecure(), channelOptions);
  const call = callsOf(client, `shard-worker ${address}`);
  return {
    address,
    apply: (request, limits) => call.unary(client.apply, request, limits),
    revoke: (request, limits) => call.unary(client.revoke, request, limits),
    stats: (request, limits) => call.unary(client.stats, request, limits),
    materialize: (request, limits) => call.stream(client.materialize, request, limits),
    verify: (request, limits) => call.unary(client.verify, request, limits),
    close: () => client.close(),
  };
}

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

function callsOf(client: Client, peer: string) {
  return {
    unary<Request, Response>(
      method: UnaryMethod<Request, Response>,
      request: Request,
      limits: CallLimits,
    ): Promise<Response> {
      return new Promise((resolve, reject) => {
        limits.signal?.throwIfAborted();
        const deadline = Date.now() + limits.timeoutMs;
        const cancel = () => call.cancel();
        const call = method.call(client, request, new Metadata(), { deadline }, (error, response) => {
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
      limits.signal?.throwIfAborted();
      const call = method.call(client, request, new Metadata(), { deadline: Date.now() + limits.timeoutMs });
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
    },
  };
}
