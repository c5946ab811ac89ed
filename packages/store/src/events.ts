import type { StreamEvent } from '@errata/contracts';
import type { Database, Transaction } from './database.js';
import type { Prisma } from './generated/client.js';
import { storable } from './text.js';
import type { Store } from './types.js';

interface NewEvent {
  readonly streamId: string;
  readonly kind: StreamEvent['kind'];
  readonly seq: number;
  readonly detail: Prisma.InputJsonObject;
  readonly editIds?: string[];
  /** Now, when left out: by the clock that also dates batches, so that a position can be found by either. */
  readonly at?: Date;
}

export async function writeEvent(tx: Transaction, event: NewEvent): Promise<void> {
  await tx.event.create({
    data: { at: new Date(), ...event, detail: storable(event.detail), editIds: event.editIds ?? [] },
  });
}

export function eventRecords(db: Database): Pick<Store, 'listEvents'> {
  return {
    async listEvents(streamId) {
      const rows = await db.prisma.event.findMany({ where: { streamId }, orderBy: { id: 'asc' } });
      return rows.map((row) => ({
        id: row.id,
        kind: row.kind as StreamEvent['kind'],
        seq: row.seq,
        detail: row.detail as StreamEvent['detail'],
        at: row.at.toISOString(),
      }));
    },
  };
}
