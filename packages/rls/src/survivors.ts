import { gather, norm } from './columns.js';
import { RlsError } from './errors.js';
import type { ColumnPosition, Columns, Columns64, Sign } from './notation.js';

/** A recorded batch in a state. */
export interface DerivedSegment {
  readonly seq: number;
  readonly sign: Sign;
  /** As recorded, d × u; those of an imported adapter, and of what takes it out, as they follow from its G. */
  readonly keys: Columns;
  readonly imported: boolean;
  /** As recorded, the rows held. */
  readonly b: Columns;
  /** As the log has it, which is what the model runs with; the derived one where none was given. */
  readonly g: Columns;
  readonly rDiagonal: readonly number[];
  /** λ_min of S (or T). */
  readonly lambdaMin: number;
  /** V − W₀K for a batch that put columns in, the rows held. */
  readonly baseResidual: Columns64 | null;
  /** For each column put in, whether it is in the weights now. */
  readonly active: boolean[];
  /** For a batch that took columns out: which ones. */
  readonly takes: readonly Survivor[];
}

/** A column in the weights. */
export interface Survivor {
  readonly from: DerivedSegment;
  readonly column: number;
}

export function survivors(segments: readonly DerivedSegment[]): Survivor[] {
  return segments.flatMap((from) => from.active.flatMap((active, column) => (active ? [{ from, column }] : [])));
}

/** The column of a position. @throws RlsError UNKNOWN_COLUMN when it is not in the weights */
export function findColumn(segments: readonly DerivedSegment[], { seq, column }: ColumnPosition): Survivor {
  const from = segments.find((segment) => segment.seq === seq && segment.sign > 0);
  if (from?.active[column] !== true)
    throw new RlsError('UNKNOWN_COLUMN', `column ${column} of seq ${seq} is not in the weights`);
  return { from, column };
}

/** Whether two columns are the same to the log, which keeps fp32. */
function sameColumn(a: Columns, i: number, b: Columns, j: number): boolean {
  const from = i * a.length;
  const to = j * b.length;
  for (let k = 0; k < a.length; k++) if (Math.fround(a.data[from + k]) !== Math.fround(b.data[to + k])) return false;
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
export async function matchTaken(
  segments: readonly DerivedSegment[],
  keys: Columns,
  residual: Columns64,
  residualOf: (survivor: Survivor) => Promise<Float64Array>,
): Promise<Survivor[]> {
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
    let best = candidates[0];
    let nearest = Number.POSITIVE_INFINITY;
    for (const candidate of candidates) {
      const distance = norm((await residualOf(candidate)).map((x, i) => x - recorded[i]));
      if (distance < nearest) [best, nearest] = [candidate, distance];
    }
    taken.push(best);
  }
  return taken;
}

/** Bytes of a batch's arrays. */
export function bytesOf(segment: DerivedSegment): number {
  const { keys, b, g, baseResidual } = segment;
  return keys.data.byteLength + b.data.byteLength + g.data.byteLength + (baseResidual?.data.byteLength ?? 0);
}

/** log det A after less before: that of S, or of T. */
export function informationOf(segment: DerivedSegment): number {
  return segment.rDiagonal.reduce((sum, r) => sum + 2 * Math.log(r), 0);
}

/** Keys of survivors side by side, d × s. */
export function keysOf(list: readonly Survivor[], inputs: number): Columns64 {
  return gather(
    inputs,
    list.map((s) => ({ from: s.from.keys, column: s.column })),
  );
}

/** V − W₀K of survivors side by side, the rows held. */
export function baseResidualsOf(list: readonly Survivor[], rows: number): Columns64 {
  return gather(
    rows,
    list.map((s) => ({ from: s.from.baseResidual as Columns64, column: s.column })),
  );
}

/** Columns with the given keys, the first where several have one: which of them it is makes no difference to A. */
export function matchKeys(segments: readonly DerivedSegment[], keys: Columns): Promise<Survivor[]> {
  const none = { length: 0, count: keys.count, data: new Float64Array(0) };
  return matchTaken(segments, keys, none, async () => new Float64Array(0));
}
