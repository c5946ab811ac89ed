export * from './client.js';
export { fromServiceError, toStatus } from './errors.js';
export type {
  ComputeKeysRequest,
  ComputeKeysResponse,
  CovarianceProgress,
  CovarianceRequest,
  CovarianceResponse,
  CovarianceSummary,
  EditText,
  GenerateRequest,
  GenerateResponse,
  InfoRequest,
  InfoResponse,
  ModelRuntimeServiceServer,
  PerplexityRequest,
  PerplexityResponse,
  ResolveProgress,
  ResolveResult,
  ResolveTargetsRequest,
  ResolveTargetsResponse,
  ScoreItem,
  ScoreRequest,
  ScoreResponse,
  ScoreResult,
  TargetStats,
} from './generated/errata/v1/model_runtime.js';
export { ModelRuntimeServiceService } from './generated/errata/v1/model_runtime.js';
export type {
  ApplyRequest,
  ApplyResponse,
  ColumnRef,
  MaterializeRequest,
  MaterializeResponse,
  RevokeRequest,
  RevokeResponse,
  ShardServiceServer,
  StatsRequest,
  StatsResponse,
  UpdateStats,
  VerifyRequest,
  VerifyResponse,
} from './generated/errata/v1/shard.js';
export { ShardServiceService } from './generated/errata/v1/shard.js';
export type { StagedBatch, StateRef, Tensor, TensorChunk } from './generated/errata/v1/tensor.js';
export * from './placement.js';
export * from './server.js';
export * from './tensor.js';
