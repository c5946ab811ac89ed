import { credentials } from '@grpc/grpc-js';
import { type CallLimits, callsOf, tracedChannelOptions } from './calls.js';
import {
  type ComputeKeysRequest,
  type ComputeKeysResponse,
  type CovarianceRequest,
  type CovarianceResponse,
  type DiscardExportRequest,
  type DivergenceRequest,
  type DivergenceResponse,
  type ExportRequest,
  type ExportResponse,
  type GenerateRequest,
  type GenerateResponse,
  type GenerateStreamRequest,
  type GenerateStreamResponse,
  type InfoResponse,
  ModelRuntimeServiceClient,
  type PerplexityRequest,
  type PerplexityResponse,
  type PlanCovarianceRequest,
  type PlanCovarianceResponse,
  type ResolveTargetsRequest,
  type ResolveTargetsResponse,
  type ScoreRequest,
  type ScoreResponse,
  type SnapshotRequest,
  type SnapshotResponse,
  type TokenizeRequest,
  type TokenizeResponse,
} from './generated/errata/v1/model_runtime.js';

/** Calls of the model runtime. All throw ErrataError. */
export interface ModelRuntime {
  readonly address: string;
  info(limits: CallLimits): Promise<InfoResponse>;
  resolveTargets(request: ResolveTargetsRequest, limits: CallLimits): AsyncIterable<ResolveTargetsResponse>;
  computeKeys(request: ComputeKeysRequest, limits: CallLimits): Promise<ComputeKeysResponse>;
  score(request: ScoreRequest, limits: CallLimits): Promise<ScoreResponse>;
  generate(request: GenerateRequest, limits: CallLimits): Promise<GenerateResponse>;
  generateStream(request: GenerateStreamRequest, limits: CallLimits): AsyncIterable<GenerateStreamResponse>;
  perplexity(request: PerplexityRequest, limits: CallLimits): Promise<PerplexityResponse>;
  divergence(request: DivergenceRequest, limits: CallLimits): Promise<DivergenceResponse>;
  planCovariance(request: PlanCovarianceRequest, limits: CallLimits): Promise<PlanCovarianceResponse>;
  covariance(request: CovarianceRequest, limits: CallLimits): AsyncIterable<CovarianceResponse>;
  snapshot(request: SnapshotRequest, limits: CallLimits): Promise<SnapshotResponse>;
  tokenize(request: TokenizeRequest, limits: CallLimits): Promise<TokenizeResponse>;
  export(request: ExportRequest, limits: CallLimits): AsyncIterable<ExportResponse>;
  discardExport(request: DiscardExportRequest, limits: CallLimits): Promise<void>;
  close(): void;
}

/** Connects lazily to a model runtime at host:port. */
export function connectModelRuntime(address: string): ModelRuntime {
  const client = new ModelRuntimeServiceClient(address, credentials.createInsecure(), tracedChannelOptions);
  const call = callsOf(client, `model-runtime ${address}`);
  return {
    address,
    info: (limits) => call.unary(client.info, {}, limits),
    resolveTargets: (request, limits) => call.stream(client.resolveTargets, request, limits),
    computeKeys: (request, limits) => call.unary(client.computeKeys, request, limits),
    score: (request, limits) => call.unary(client.score, request, limits),
    generate: (request, limits) => call.unary(client.generate, request, limits),
    generateStream: (request, limits) => call.stream(client.generateStream, request, limits),
    perplexity: (request, limits) => call.unary(client.perplexity, request, limits),
    divergence: (request, limits) => call.unary(client.divergence, request, limits),
    planCovariance: (request, limits) => call.unary(client.planCovariance, request, limits),
    covariance: (request, limits) => call.stream(client.covariance, request, limits),
    snapshot: (request, limits) => call.unary(client.snapshot, request, limits),
    tokenize: (request, limits) => call.unary(client.tokenize, request, limits),
    export: (request, limits) => call.stream(client.export, request, limits),
    discardExport: async (request, limits) => void (await call.unary(client.discardExport, request, limits)),
    close: () => client.close(),
  };
}
