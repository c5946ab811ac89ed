import { createHash } from 'node:crypto';
import { ErrataError } from '@errata/contracts';
import { float32Bytes, float64Bytes } from './bytes.js';
import { covarianceRows } from './covariances.js';
import type { DamageStore } from './damage-types.js';
import { copyIn, type Database } from './database.js';
import { writeEvent } from './events.js';
import { tensorHashes } from './hash.js';
import { lockStream, unknownPosition } from './locks.js';
import { entryIntact, packedTensors, readEntryRow, selectEntries } from './log-rows.js';

export function repairRecords(db: Database): Omit<DamageStore, 'verifyStored'> {
  return {
    async readEntryAsStored(streamId, seq, layer) {
      for await (const row of db.copyOut(selectEntries(streamId, [seq], layer))) return readEntryRow(streamId, row);
      throw unknownPosition(streamId, seq, `nothing is staged for layer ${layer}`);
    },

    async repairEntry(entry) {
      const { streamId, seq, layer, rDiagonal } = entry;
      if (!entryIntact(entry))
        throw new ErrataError('LOG_CORRUPT', `layer ${layer} of batch ${seq} does not give its recorded hash`);
      await db.session(async (client) => {
        const place = [streamId, seq, layer, entry.hash];
        const where = 'WHERE stream_id = $1 AND seq = $2 AND layer = $3 AND hash = $4 AND row_start = 0';
        const { tensors, rest } = packedTensors(entry);
        const bytes = [Buffer.concat(tensors), Buffer.concat(rest), float64Bytes(rDiagonal)];
        // One after the other: the database takes tensors only as their hashes have them.
        const hashes = await client.query(
          `UPDATE log_entries SET tensor_hashes = $5 ${where} AND tensor_hashes <> $5 AND (tensors, rest, r_diagonal) = ($6, $7, $8)`,
          [...place, tensorHashes(entry), ...bytes],
        );
        if (hashes.rowCount === 1) return;
        const put = await client.query(`UPDATE log_entries SET tensors = $5, rest = $6, r_diagonal = $7 ${where}`, [
          ...place,
          ...bytes,
        ]);
        if (put.rowCount !== 1)
          throw unknownPosition(streamId, seq, `layer ${layer} has no entry of hash ${entry.hash}`);
      });
    },

    async repairCovariance(id, { data }) {
      const row = await db.prisma.covariance.findUniqueOrThrow({ where: { id } });
      const bytes = float32Bytes(data);
      if (createHash('sha256').update(bytes).digest('hex') !== row.sha256)
        throw new ErrataError('LOG_CORRUPT', `what was computed anew is not covariance ${id} bit for bit`);
      await db.session(async (client) => {
        await client.query('DELETE FROM covariance_chunks WHERE covariance_id = $1', [id]);
        await copyIn(client, 'covariance_chunks', ['covariance_id', 'index', 'data'], covarianceRows(id, bytes));
      });
    },

    async discardChunks(ids) {
      return db.session(async (client) => {
        const dropped = await client.query<{ stream_id: string; seq: number }>(
          `DELETE FROM snapshots s USING snapshot_chunks k WHERE k.snapshot_id = s.id AND k.chunk_id = ANY($1)
           RETURNING s.stream_id, s.seq`,
          [ids],
        );
        await client.query('DELETE FROM chunks WHERE id = ANY($1) AND location IS NULL', [ids]);
        await client.query(
          `WITH gone AS (DELETE FROM chunks WHERE id = ANY($1) RETURNING location)
           INSERT INTO chunk_objects (location, created_at) SELECT location, 'epoch' FROM gone`,
          [ids],
        );
        return dropped.rows.map((row) => ({ streamId: row.stream_id, seq: row.seq }));
      });
    },

    async recordRepair(streamId, detail) {
      await db.transaction(async (tx) => {
        const { head: seq } = await lockStream(tx, streamId);
        await writeEvent(tx, { streamId, kind: 'repaired', seq, detail });
      });
    },
  };
}
