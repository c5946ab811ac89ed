import { norm } from './columns.js';
import { RlsError } from './errors.js';
import type { Columns, Columns64, Sign } from './notation.js';

/** A recorded batch with what the recursion derived from it. */
export interface DerivedSegment {
  readonly seq: number;
  readonly sign: Sign;
  readonly keys: Columns64;
  readonly g: Columns64;
  readonly b: Columns64;
  /** G as the log has it, which is what the model runs with; null where none was given. */
  readonly recordedG: Columns | null;
  readonly rDiagonal: readonly number[];
  /** V − W₀K for a batch that put columns in, dₒ × u. */
  readonly baseResidual: Columns64 | null;
  /** For each column put in, whether it is in the weights now. */
  readonly active: boolean[];
  /** For a batch that took columns out: which ones. */
  readonly takes: readonly { readonly segment: DerivedSegment; readonly column: number }[];
}

/** A column in the weights. */
export interface Survivor {
  readonly from: DerivedSegment;
  readonly column: number;
}

export function survivors(segments: readonly DerivedSegment[]): Survivor[] {
  return segments.flatMap((from) => from.active.flatMap((active, column) => (active ? [{ from, column }] : [])));
}

function sameColumn(a: Columns64, i: number, b: Columns64, j: number): boolean {
  const from = i * a.length;
  const to = j * b.length;
  for (let k = 0; k < a.length; k++) if (a.data[from + k] !== b.data[to + k]) return false;
  return true;
}

/**
 * Which columns a recorded revocation took out: those with the same key. Where several have it, the one whose residual
 * against the present weights is nearest to the recorded.
 *
 * @param residualOf V − W K of a column that is in the weights, dₒ
 * @param residual the recorded V − W K, dₒ × u
 * @throws RlsError LOG_MISMATCH when a key belongs to no column in the weights
 */
export function matchTaken(
  segments: readonly DerivedSegment[],
  keys: Columns64,
  residual: Columns64,
  residualOf: (survivor: Survivor) => Float64Array,
): Survivor[] {
  const pool = survivors(segments);
  const taken: Survivor[] = [];
  for (let column = 0; column < keys.count; column++) {
    const candidates = pool.filter((s) => !taken.includes(s) && sameColumn(s.from.keys, s.column, keys, column));
    if (candidates.length === 0)
      throw new RlsError('LOG_MISMATCH', `column ${column} of a revocation has a key that is not in the weights`);
    if (candidates.length === 1) {
      taken.push(candidates[0]);
      continue;
    }
    const recorded = residual.data.subarray(column * residual.length, (column + 1) * residual.length);
    const distance = (s: Survivor) => norm(residualOf(s).map((x, i) => x - recorded[i]));
    taken.push(
      candidates.map((s) => ({ s, distance: distance(s) })).reduce((a, b) => (b.distance < a.distance ? b : a)).s,
    );
  }
  return taken;
}
