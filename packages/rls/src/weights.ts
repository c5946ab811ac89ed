import { scaled } from './columns.js';
import { RlsError } from './errors.js';
import type { Columns, Columns64 } from './notation.js';

/** Largest weight of a column: its key grows by 1e4, about as far as fp32 and a revocation carry. */
export const WEIGHT_LIMIT = 1e8;

function checkWeight(weight: number, what: string): number {
  if (!(weight > 0) || !Number.isFinite(weight))
    throw new RlsError('INVALID_TENSOR', `${what} is ${weight}; it must be a number above 0`);
  if (weight > WEIGHT_LIMIT)
    throw new RlsError(
      'ILL_CONDITIONED',
      `${what} is ${weight.toExponential(1)}, above ${WEIGHT_LIMIT.toExponential(0)}; begin a new stream on the weights reached`,
    );
  return weight;
}

/**
 * Weight of the columns of a batch under exponential forgetting: ω γ^(−seq). The minimiser is that of the objective in
 * which every step multiplies all older terms, anchors included, by γ.
 * @throws RlsError INVALID_TENSOR; ILL_CONDITIONED above {@link WEIGHT_LIMIT}
 */
export function forgettingWeight(gamma: number, seq: number, importance = 1): number {
  if (!(gamma > 0 && gamma <= 1))
    throw new RlsError('INVALID_TENSOR', `forgetting factor ${gamma}; it must be above 0 and at most 1`);
  return checkWeight(importance * gamma ** -seq, `weight of seq ${seq}`);
}

/** √ω of each column. @throws RlsError INVALID_TENSOR, ILL_CONDITIONED */
export function weightRoots(weights: readonly number[], count: number): number[] {
  if (weights.length !== count) throw new RlsError('INVALID_TENSOR', `${weights.length} weights for ${count} columns`);
  return weights.map((weight, i) => Math.sqrt(checkWeight(weight, `weight of column ${i}`)));
}

/** Columns scaled and rounded as the log records them, so that the record derives to the same factors. */
export function weighed(columns: Columns, roots: readonly number[]): Columns64 {
  const exact = scaled(columns, roots);
  return { ...exact, data: Float64Array.from(exact.data, Math.fround) };
}
