import { ErrataError } from '@errata/contracts';
import type { Database } from './database.js';
import { writeEvent } from './events.js';
import { lockStream } from './locks.js';
import { toCheckpoint } from './rows.js';
import { assertStorable } from './text.js';
import type { Store } from './types.js';

export function checkpointRecords(db: Database): Pick<Store, 'createCheckpoint' | 'listCheckpoints' | 'getCheckpoint'> {
  return {
    createCheckpoint(streamId, name) {
      assertStorable({ name });
      return db.transaction(async (tx) => {
        const { head: seq, headHash: hash } = await lockStream(tx, streamId);
        const existing = await tx.checkpoint.findUnique({ where: { streamId_name: { streamId, name } } });
        if (existing?.seq === seq) return toCheckpoint(existing);
        if (existing)
          throw new ErrataError(
            'NAME_TAKEN',
            `the checkpoint ${JSON.stringify(name)} of ${streamId} is at seq ${existing.seq}, the head at ${seq}: choose another name`,
          );
        const row = await tx.checkpoint.create({ data: { streamId, name, seq, hash } });
        await writeEvent(tx, { streamId, kind: 'checkpoint', seq, detail: { name, hash } });
        return toCheckpoint(row);
      });
    },

    async listCheckpoints(streamId) {
      const rows = await db.prisma.checkpoint.findMany({
        where: { streamId },
        orderBy: [{ createdAt: 'asc' }, { name: 'asc' }],
      });
      return rows.map(toCheckpoint);
    },

    async getCheckpoint(streamId, name) {
      assertStorable({ name });
      const row = await db.prisma.checkpoint.findUnique({ where: { streamId_name: { streamId, name } } });
      if (!row)
        throw new ErrataError('UNKNOWN_CHECKPOINT', `stream ${streamId} has no checkpoint ${JSON.stringify(name)}`);
      return toCheckpoint(row);
    },
  };
}
