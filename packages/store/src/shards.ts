import type { Database } from './database.js';
import { unknownStream } from './locks.js';
import { assertStorable } from './text.js';
import type { Store } from './types.js';

export function shardRecords(db: Database): Pick<Store, 'acquireShard'> {
  return {
    async acquireShard(streamId, layer, owner) {
      assertStorable({ owner });
      const rows = await db.prisma.$queryRaw<{ epoch: number }[]>`
        INSERT INTO shard_owners AS s (stream_id, layer, owner, epoch)
        SELECT id, ${layer}::int, ${owner}, 1 FROM streams WHERE id = ${streamId}
        ON CONFLICT (stream_id, layer) DO UPDATE SET
          epoch = CASE WHEN s.owner = excluded.owner THEN s.epoch ELSE s.epoch + 1 END,
          acquired_at = CASE WHEN s.owner = excluded.owner THEN s.acquired_at ELSE now() END,
          owner = excluded.owner
        RETURNING epoch`;
      if (!rows[0]) throw unknownStream(streamId);
      return { epoch: rows[0].epoch };
    },
  };
}
