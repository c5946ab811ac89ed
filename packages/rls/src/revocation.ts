import { TensorError } from '@errata/tensor';
import { addInto, asRows } from './columns.js';
import { RlsError } from './errors.js';
import type { LayerState } from './layer-state.js';
import type { Columns64 } from './notation.js';
import { panelsTimes } from './panel-products.js';
import type { RlsParts } from './parts.js';
import { guardOf, type RefreshOptions } from './state-options.js';
import { baseResidualsOf, keysOf, matchKeys, type Survivor } from './survivors.js';
import { factorFromOtherSide, leastEigenvalue, type RightFactor, rightFactor } from './update.js';

/** Columns gone through at once where all of history is: bounds the copies. */
const BLOCK = 512;

/** The factor that takes columns out, with C'K where it was made from C' = C without them. */
export interface Removal {
  readonly factor: RightFactor;
  readonly without: Columns64 | null;
}

/**
 * The factor that takes keys out of a state: by a downdate, or from C' where λ_min(T) is too small for one.
 * @param product C K
 * @param options of the inversion that gives C'
 * @throws RlsError REVOKE_ILL_CONDITIONED, LOG_MISMATCH when a key is not in the weights; TensorError OUT_OF_MEMORY,
 * DEVICE_LOST; the signal's reason when aborted
 */
export async function factorOut(
  parts: RlsParts,
  state: LayerState,
  keys: Columns64,
  product: Columns64,
  options: RefreshOptions = {},
): Promise<Removal> {
  const { linalg } = parts;
  const { revokeLimit } = guardOf(state);
  let why = 'is not positive';
  try {
    const factor = rightFactor(linalg, keys, product, -1);
    const least = leastEigenvalue(linalg, factor.r, keys.count);
    if (least >= revokeLimit) return { factor, without: null };
    why = `is ${least.toExponential(1)}`;
  } catch (error) {
    if (!(error instanceof RlsError) || error.code !== 'ILL_CONDITIONED') throw error;
  }
  // By key alone, as a reader of the log would: which of equal columns goes is the same to C.
  const taken = await matchKeys(state.segments, keys);
  try {
    const inverse = await state.freshInverse(options, taken);
    try {
      const without = await panelsTimes(linalg, inverse, keys);
      return { factor: factorFromOtherSide(linalg, keys, without), without };
    } finally {
      await inverse.dispose();
    }
  } catch (error) {
    if (!cannotBeInverted(error)) throw error;
    throw new RlsError(
      'REVOKE_ILL_CONDITIONED',
      `λ_min(I − KᵀCK) of the ${keys.count} columns ${why}, and C without them is not to be had: ${error.message}; roll back to before them and apply the rest again`,
    );
  }
}

/** Whether there is no C' at all, or none to be had here; what else goes wrong may go well another time. */
function cannotBeInverted(error: unknown): error is RlsError | TensorError {
  return (
    (error instanceof RlsError || error instanceof TensorError) &&
    (error.code === 'ILL_CONDITIONED' || error.code === 'INVALID_TENSOR')
  );
}

/** B = −(V − W'K) R of a removal, W' the weights without the columns, from what was put in: Σ (V − W₀K)ᵢ (kᵢᵀ C'K). */
export function leftFactorOut(
  { linalg }: RlsParts,
  state: LayerState,
  taken: readonly Survivor[],
  r: Float64Array,
  without: Columns64,
): Float64Array {
  const left = state.columns().filter((s) => !taken.some((t) => t.from === s.from && t.column === s.column));
  const residual = baseResidualsOf(taken, state.heldRows);
  for (let at = 0; at < left.length; at += BLOCK) {
    const block = left.slice(at, at + BLOCK);
    const along = linalg.matmul(asRows(without), asRows(keysOf(block, state.inputs)), { transposeB: true });
    const rows = { rows: without.count, columns: block.length, data: along };
    addInto(residual.data, linalg.matmul(rows, asRows(baseResidualsOf(block, state.heldRows))), -1);
  }
  const square = { rows: taken.length, columns: taken.length, data: r };
  return linalg.matmul(square, asRows(residual), { transposeA: true }).map((x) => -x);
}
