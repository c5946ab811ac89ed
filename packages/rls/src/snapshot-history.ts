import { checkSize, stacked } from './columns.js';
import { RlsError } from './errors.js';
import type { Columns, Segment } from './notation.js';
import type { StateSnapshot } from './state-snapshot.js';
import type { DerivedSegment } from './survivors.js';

type History = Pick<StateSnapshot, 'residuals' | 'diagonals' | 'leastEigenvalues' | 'keyPlaces' | 'keys' | 'takes'>;

/** What of batches the log does not have. @param inputs d @param rows held */
export function historyOf(segments: readonly DerivedSegment[], inputs: number, rows: number): History {
  const put = segments.reduce((sum, { baseResidual }) => sum + (baseResidual?.count ?? 0), 0);
  const residuals = new Float64Array(rows * put);
  let at = 0;
  for (const { baseResidual } of segments) {
    if (baseResidual === null) continue;
    residuals.set(baseResidual.data, at);
    at += baseResidual.data.length;
  }
  // The log's are fp32.
  const derived = segments.filter(({ keys }) => keys.data instanceof Float64Array);
  const places = new Map(segments.map((segment, i) => [segment, i]));
  return {
    residuals,
    diagonals: Float64Array.from(segments.flatMap(({ rDiagonal }) => rDiagonal)),
    leastEigenvalues: Float64Array.from(segments, ({ lambdaMin }) => lambdaMin),
    keyPlaces: Float64Array.from(derived, (segment) => places.get(segment) ?? 0),
    keys: stacked(
      inputs,
      derived.map(({ keys }) => keys),
    ).data,
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
  { segments, residuals, diagonals, leastEigenvalues, keyPlaces, keys: derivedKeys, takes }: StateSnapshot,
  batches: readonly Segment[],
  inputs: number,
  rows: number,
  ownB: (segment: Segment) => Columns,
): DerivedSegment[] {
  const columns = batches.reduce((sum, { b }) => sum + b.count, 0);
  const put = batches.reduce((sum, { b, sign }) => sum + (sign > 0 ? b.count : 0), 0);
  const places = new Set(keyPlaces);
  const withKeys = batches.reduce((sum, { b }, i) => sum + (places.has(i) ? b.count : 0), 0);
  const fits =
    batches.length === segments &&
    leastEigenvalues.length === segments &&
    diagonals.length === columns &&
    residuals.length === rows * put &&
    derivedKeys.length === inputs * withKeys &&
    takes.length === 2 * (columns - put);
  if (!fits)
    throw new RlsError('LOG_MISMATCH', `a snapshot of ${segments} batches does not belong to these ${batches.length}`);
  const derived: DerivedSegment[] = [];
  let [column, residual, taken, key] = [0, 0, 0, 0];
  for (const [i, segment] of batches.entries()) {
    const { seq, sign, g } = segment;
    const { count } = segment.b;
    const length = inputs * count;
    const keys = places.has(i) ? { length: inputs, count, data: derivedKeys.slice(key, key + length) } : segment.keys;
    if (places.has(i)) key += length;
    if (keys === undefined) throw new RlsError('LOG_MISMATCH', `a snapshot lacks the keys of the imported seq ${seq}`);
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
      imported: segment.keys === undefined,
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
