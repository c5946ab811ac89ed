import type { LayerRemoval } from '@errata/contracts';
import type { Transaction } from './database.js';

/** How columns went out of each layer, by the seq of their revoke batch; staged entries included. */
export async function removalsAt(
  tx: Transaction,
  streamId: string,
  seqs: readonly number[],
): Promise<Map<number, LayerRemoval[]>> {
  const rows = await tx.$queryRaw<{ seq: number; layer: number; least: number | null; inverted: number | null }[]>`
    SELECT seq, layer, min((stats->>'lambdaMin')::float8) AS least, max((stats->>'byInversion')::int) AS inverted
    FROM log_entries WHERE stream_id = ${streamId} AND seq = ANY(${[...seqs]}) AND sign = -1
    GROUP BY seq, layer ORDER BY seq, layer`;
  const result = new Map<number, LayerRemoval[]>();
  for (const { seq, layer, least, inverted } of rows) {
    const path = inverted === null ? null : inverted === 1 ? 'inversion' : 'downdate';
    if (least !== null) result.set(seq, [...(result.get(seq) ?? []), { layer, path, lambdaMin: least }]);
  }
  return result;
}
