export { RlsError, type RlsErrorCode } from './errors.js';
export { FactoredState, REVOKE_LIMIT } from './factored-state.js';
export { type RlsFixture, runFixture } from './fixture.js';
export {
  CONDITION_LIMIT,
  createInverse,
  type InverseCovariance,
  type InverseSource,
  startingWeights,
} from './inverse.js';
export type { ColumnPosition, Columns, Columns64, Segment, Sign, Update, UpdateStats } from './notation.js';
export { measureState, type StateStats } from './stats.js';
export { type ClosedForm, closedForm, type Verification, verifyState } from './verify.js';
