export type { AnchorMatrix, InverseSource } from './anchor.js';
export {
  type BatchShape,
  chooseFoldRank,
  foldRankCandidates,
  predictBatchSeconds,
  USUAL_BATCH,
} from './cost-model.js';
export { createState } from './create-state.js';
export { changeNorm, type SignedFactors } from './distance.js';
export { RlsError, type RlsErrorCode } from './errors.js';
export { type RlsFixture, runFixture } from './fixture.js';
export { importAdapter } from './imported.js';
export {
  CONDITION_LIMIT,
  type ConditionPolicy,
  createInverse,
  FP32_CONDITION_LIMIT,
  FP32_REFUSAL_LIMIT,
  type InverseCovariance,
  type InverseOptions,
} from './inverse.js';
export { LayerState } from './layer-state.js';
export type {
  ColumnPosition,
  Columns,
  Columns64,
  RowRange,
  Segment,
  Sign,
  Update,
  UpdateStats,
} from './notation.js';
export type { RlsParts } from './parts.js';
export { type StartingDelta, startingDelta } from './starting-delta.js';
export { REVOKE_LIMIT, type RefreshOptions, type StateOptions } from './state-options.js';
export type { StateSnapshot } from './state-snapshot.js';
export { measureState, mergeStats, type StateStats } from './stats.js';
export { type ClosedForm, closedForm, type Verification, verifyState } from './verify.js';
export { forgettingWeight, WEIGHT_LIMIT } from './weights.js';
