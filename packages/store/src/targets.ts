import { createHash } from 'node:crypto';
import { ErrataError } from '@errata/contracts';
import { assertMatrix, float32Array, float32Bytes } from './bytes.js';
import { copyIn, type Database } from './database.js';
import { unknownPosition, unknownStream } from './locks.js';
import { ownershipOf, partsOf } from './owners.js';
import type { Store } from './types.js';

const STREAM_ID = /^str_[0-9a-f]{32}$/;

/** sha256 of the bytes of targets. */
export function targetsHash(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export function targetRecords(db: Database): Pick<Store, 'saveTargets' | 'readTargets'> {
  return {
    async saveTargets(streamId, seq, targets) {
      assertMatrix(targets, 'targets');
      await db.session(async (client) => {
        await client.query('SELECT FROM streams WHERE id = $1 FOR NO KEY UPDATE', [streamId]);
        const { rows } = await client.query<{ status: string; members: number; saved: boolean }>(
          `SELECT b.status, (SELECT count(*)::int FROM batch_edits m WHERE m.stream_id = $1 AND m.seq = $2) AS members,
             EXISTS (SELECT FROM targets t WHERE t.stream_id = $1 AND t.seq = $2) AS saved
           FROM batches b WHERE b.stream_id = $1 AND b.seq = $2 AND b.kind = 'apply'`,
          [streamId, seq],
        );
        const [batch] = rows;
        if (batch?.saved && batch.status !== 'closed') return;
        if (batch?.status !== 'claimed') throw unknownPosition(streamId, seq, 'no claimed apply batch has this seq');
        if (targets.columns !== batch.members)
          throw new ErrataError(
            'INVALID_TENSOR',
            `batch ${seq} of ${streamId} has ${batch.members} edits, the targets have ${targets.columns} columns`,
          );
        await client.query(
          `UPDATE edits e SET status = 'resolved', updated_at = now() FROM batch_edits m
           WHERE m.stream_id = $1 AND m.seq = $2 AND e.id = m.edit_id AND e.status = 'queued'`,
          [streamId, seq],
        );
        const row = [streamId, { int4: seq }, { int4: targets.rows }, { int4: targets.columns }];
        const bytes = float32Bytes(targets.data);
        await copyIn(
          client,
          'targets',
          ['stream_id', 'seq', 'rows', 'columns', 'data', 'sha256'],
          [[...row, bytes, targetsHash(bytes)]],
        );
      });
    },

    async readTargets(streamId, seq) {
      if (!STREAM_ID.test(streamId)) throw unknownStream(streamId);
      if (!Number.isInteger(seq)) throw unknownPosition(streamId, seq);
      const ownership = await ownershipOf(db.prisma, streamId);
      const owner = (ownership && partsOf(ownership, [seq])[0]?.streamId) ?? streamId;
      const query = `SELECT rows, columns, data FROM targets WHERE stream_id = '${owner}' AND seq = ${seq}`;
      for await (const [rows, columns, data] of db.copyOut(query))
        if (rows && columns && data)
          return { rows: rows.readInt32BE(), columns: columns.readInt32BE(), data: float32Array(data) };
      return null;
    },
  };
}
