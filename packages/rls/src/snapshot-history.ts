import { checkSize } from './columns.js';
import { RlsError } from './errors.js';
import type { Columns, Segment } from './notation.js';
import type { StateSnapshot } from './state-snapshot.js';
import type { DerivedSegment } from './survivors.js';

type History = Pick<StateSnapshot, 'residuals' | 'diagonals' | 'leastEigenvalues' | 'takes'>;

/** What of batches the log does not have. @param rows held */
export function historyOf(segments: readonly DerivedSegment[], rows: number): History {
  const put = segments.reduce((sum, { baseResidual }) => sum + (baseResidual?.count ?? 0), 0);
  const residuals = new Float64Array(rows * put);
  let at = 0;
  for (const { baseResidual } of segments) {
    if (baseResidual === null) continue;
    residuals.set(baseResidual.data, at);
    at += baseResidual.data.length;
  }
  const places = new Map(segments.map((segment, i) => [segment, i]));
  return {
    residuals,
    diagonals: Float64Array.from(segments.flatMap(({ rDiagonal }) => rDiagonal)),
    leastEigenvalues: Float64Array.from(segments, ({ lambdaMin }) => lambdaMin),
    takes: Float64Array.from(
      segments.flatMap(({ takes }) => takes.flatMap(({ from, column }) => [places.get(from) ?? 0, column])),
    ),
  };
}

/**
 * The batches of a snapshot, out of it and the log.
 * @param ownB the rows held of B
 * @throws RlsError LOG_MISMATCH, INVALID_TENSOR
 */
export function derivedFrom(
  { segments, residuals, diagonals, leastEigenvalues, takes }: StateSnapshot,
  batches: readonly Segment[],
  inputs: number,
  rows: number,
  ownB: (segment: Segment) => Columns,
): DerivedSegment[] {
  const columns = batches.reduce((sum, { keys }) => sum + keys.count, 0);
  const put = batches.reduce((sum, { keys, sign }) => sum + (sign > 0 ? keys.count : 0), 0);
  const fits =
    batches.length === segments &&
    leastEigenvalues.length === segments &&
    diagonals.length === columns &&
    residuals.length === rows * put &&
    takes.length === 2 * (columns - put);
  if (!fits)
    throw new RlsError('LOG_MISMATCH', `a snapshot of ${segments} batches does not belong to these ${batches.length}`);
  const derived: DerivedSegment[] = [];
  let [column, residual, taken] = [0, 0, 0];
  for (const [i, segment] of batches.entries()) {
    const { seq, sign, keys, g } = segment;
    const { count } = keys;
    checkSize(`keys of seq ${seq}`, keys, inputs, count);
    if (g === undefined) throw new RlsError('INVALID_TENSOR', `seq ${seq} has no G, which a snapshot does not give`);
    checkSize(`G of seq ${seq}`, g, inputs, count);
    const data = sign > 0 ? residuals.slice(residual, residual + rows * count) : null;
    residual += data?.length ?? 0;
    const removed = sign > 0 ? new Float64Array(0) : takes.subarray(taken, taken + 2 * count);
    taken += removed.length;
    derived.push({
      seq,
      sign,
      keys,
      b: ownB(segment),
      g,
      rDiagonal: [...diagonals.subarray(column, column + count)],
      lambdaMin: leastEigenvalues[i],
      baseResidual: data && { length: rows, count, data },
      active: sign > 0 ? new Array<boolean>(count).fill(true) : [],
      takes: Array.from({ length: removed.length / 2 }, (_, j) => {
        const from = derived[removed[2 * j]];
        if (from?.baseResidual == null || !(removed[2 * j + 1] < from.keys.count))
          throw new RlsError('LOG_MISMATCH', `seq ${seq} of a snapshot takes out what was never put in`);
        return { from, column: removed[2 * j + 1] };
      }),
    });
    column += count;
  }
  return derived;
}
