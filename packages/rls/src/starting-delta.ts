import { checkColumns, scaled, toDouble } from './columns.js';
import type { InverseCovariance } from './inverse.js';
import type { Columns, Columns64 } from './notation.js';

/** W − W₀ where a stream starts, as factors: B Gᵀ with B dₒ × n₀ and G d × n₀. */
export interface StartingDelta {
  readonly b: Columns64;
  readonly g: Columns64;
}

/**
 * Where the recursion starts when the anchor's values are given: (λ²W₀ + μ²V₀K₀ᵀ) A₀⁻¹ = W₀ + μ²(V₀ − W₀K₀)(C₀K₀)ᵀ.
 * Added to W₀ rather than solved for, so that V₀ = W₀K₀ gives W₀ itself.
 *
 * @param anchorKeys K₀, d × n₀, those that A₀ is made of
 * @param anchorResidual V₀ − W₀K₀, dₒ × n₀
 * @param product C₀K₀ summed over the shares; needed where C₀ is held in part
 * @throws RlsError INVALID_TENSOR
 */
export async function startingDelta(
  inverse: InverseCovariance,
  anchorKeys: Columns,
  anchorResidual: Columns,
  product?: Columns64,
): Promise<StartingDelta> {
  checkColumns('anchor keys', anchorKeys, inverse.dimension, anchorKeys.count);
  checkColumns('anchor residual', anchorResidual, anchorResidual.length, anchorKeys.count);
  const g = product ?? (await inverse.c0.times(toDouble(anchorKeys)));
  checkColumns('product', g, inverse.dimension, anchorKeys.count);
  return { b: scaled(anchorResidual, new Array<number>(anchorKeys.count).fill(inverse.mu ** 2)), g };
}
