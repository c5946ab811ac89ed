export type { CallLimits } from './calls.js';
export * from './client.js';
export type { Resolver } from './discovery.js';
export { fromServiceError, toStatus } from './errors.js';
export { type Fleet, type FleetOptions, type MemberState, type Placement, watchFleet } from './fleet.js';
export type {
  ChatMessage,
  ComputeKeysRequest,
  ComputeKeysResponse,
  CovarianceProgress,
  CovarianceRequest,
  CovarianceResponse,
  CovarianceSource,
  CovarianceSummary,
  DiscardExportRequest,
  EditText,
  ExportRequest,
  ExportResponse,
  GenerateRequest,
  GenerateResponse,
  GenerateStreamRequest,
  GenerateStreamResponse,
  InfoRequest,
  InfoResponse,
  ModelRuntimeServiceServer,
  PerplexityRequest,
  PerplexityResponse,
  PlanCovarianceRequest,
  PlanCovarianceResponse,
  ResolveProgress,
  ResolveResult,
  ResolveTargetsRequest,
  ResolveTargetsResponse,
  Sampling,
  ScoreItem,
  ScoreRequest,
  ScoreResponse,
  ScoreResult,
  TargetStats,
  TokenizeRequest,
  TokenizeResponse,
  TokenLogProbabilities,
  TokenLogProbability,
} from './generated/errata/v1/model_runtime.js';
export { FinishReason, ModelRuntimeServiceService } from './generated/errata/v1/model_runtime.js';
export type {
  ApplyHeader,
  ApplyRequest,
  ApplyResponse,
  ColumnRef,
  FoldRequest,
  FoldResponse,
  ImportHeader,
  ImportResponse,
  MaterializeRequest,
  MaterializeResponse,
  PrepareRequest,
  PrepareResponse,
  ProductHeader,
  ProductRequest,
  ProductResponse,
  RefreshRequest,
  RefreshResponse,
  RevokeRequest,
  RevokeResponse,
  ShardServiceServer,
  ShardShare,
  StatsRequest,
  StatsResponse,
  UpdateStats,
  VerifyRequest,
  VerifyResponse,
} from './generated/errata/v1/shard.js';
export { ShardServiceService } from './generated/errata/v1/shard.js';
export type { StagedBatch, StateRef, Tensor, TensorChunk } from './generated/errata/v1/tensor.js';
export { ElementType } from './generated/errata/v1/tensor.js';
export { connectHealth, type HealthClient } from './health-client.js';
export { type ChangeLog, logChanges } from './log-changes.js';
export * from './placement.js';
export { connectModelRuntimes, type RuntimePoolOptions } from './runtime-pool.js';
export * from './server.js';
export * from './shard-client.js';
export * from './tensor.js';
export * from './tensor-collector.js';
