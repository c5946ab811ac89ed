import {
  type Canary,
  defaultGuards,
  ErrataError,
  type GuardSettings,
  probeLimits,
  type SetGuardsRequest,
  withGuards,
} from '@errata/contracts';
import type { Database, Transaction } from './database.js';
import type { DriftStore } from './drift-types.js';
import type { Canary as CanaryRow, Prisma } from './generated/client.js';
import { lockStream, unknownStream } from './locks.js';
import { assertStorable } from './text.js';

/** What the guards of a stream are set to: its own settings, else its origin's, else the defaults. */
export async function guardsOf(tx: Transaction, streamId: string): Promise<GuardSettings> {
  const rows = await tx.$queryRaw<{ settings: SetGuardsRequest | null }[]>`
    WITH RECURSIVE chain(id, origin_stream_id, depth) AS (
      SELECT id, origin_stream_id, 0 FROM streams WHERE id = ${streamId}
      UNION ALL
      SELECT s.id, s.origin_stream_id, c.depth + 1 FROM chain c JOIN streams s ON s.id = c.origin_stream_id)
    SELECT g.settings FROM chain c LEFT JOIN stream_guards g ON g.stream_id = c.id ORDER BY c.depth`;
  if (rows.length === 0) throw unknownStream(streamId);
  // Over the defaults, so that budgets which a later version adds have a setting.
  return withGuards(defaultGuards, rows.find(({ settings }) => settings !== null)?.settings ?? {});
}

function toCanary({ streamId: _, createdAt, ...rest }: CanaryRow): Canary {
  return { ...rest, createdAt: createdAt.toISOString() };
}

export function guardSettingRecords(
  db: Database,
): Pick<DriftStore, 'getGuards' | 'setGuards' | 'listCanaries' | 'addCanary' | 'removeCanary' | 'settleCanaries'> {
  return {
    getGuards: (streamId) => guardsOf(db.prisma, streamId),

    setGuards: (streamId, change) =>
      db.transaction(async (tx) => {
        await lockStream(tx, streamId);
        const settings = withGuards(await guardsOf(tx, streamId), change);
        const data = { settings: settings as unknown as Prisma.InputJsonObject, updatedAt: new Date() };
        await tx.streamGuards.upsert({ where: { streamId }, create: { streamId, ...data }, update: data });
        return settings;
      }),

    async listCanaries(streamId) {
      const rows = await db.prisma.canary.findMany({ where: { streamId }, orderBy: { name: 'asc' } });
      return rows.map(toCanary);
    },

    addCanary(streamId, { name, prompt, expected }) {
      assertStorable({ name, prompt, expected });
      return db.transaction(async (tx) => {
        await lockStream(tx, streamId);
        const known = await tx.canary.findUnique({ where: { streamId_name: { streamId, name } } });
        if (known?.prompt === prompt && known.expected === expected) return toCanary(known);
        if (known)
          throw new ErrataError(
            'NAME_TAKEN',
            `the canary ${JSON.stringify(name)} asks ${JSON.stringify(known.prompt.slice(0, 200))}: remove it first, or choose another name`,
          );
        if ((await tx.canary.count({ where: { streamId } })) >= probeLimits.canaries)
          throw new ErrataError(
            'INVALID_REQUEST',
            `the stream has ${probeLimits.canaries} canaries, which is the most: remove one first`,
          );
        return toCanary(await tx.canary.create({ data: { streamId, name, prompt, expected } }));
      });
    },

    async removeCanary(streamId, name) {
      assertStorable({ name });
      const { count } = await db.prisma.canary.deleteMany({ where: { streamId, name } });
      if (count === 0)
        throw new ErrataError(
          'UNKNOWN_CANARY',
          `stream ${streamId} has no canary ${JSON.stringify(name.slice(0, 100))}`,
        );
    },

    async settleCanaries(streamId, seq, outcomes) {
      await db.transaction(async (tx) => {
        for (const { name, baseHolds, holds } of outcomes)
          await tx.canary.updateMany({
            where: { streamId, name },
            data: { baseHolds, holds, seq, ...(holds && { heldSeq: seq }) },
          });
      });
    },
  };
}
