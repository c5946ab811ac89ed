import type { Database } from './database.js';

interface DeliveryOptions {
  /** What was delivered or given up before is removed. */
  readonly before: Date;
  readonly dryRun: boolean;
  readonly streamId: string | undefined;
}

/**
 * Removes notifications that have ended; those under way stay, however old. What a guard did is an event of the stream,
 * which stays as well. Answers how many.
 */
export async function collectDeliveries(db: Database, { before, dryRun, streamId }: DeliveryOptions): Promise<number> {
  const where = {
    status: { not: 'pending' },
    settledAt: { lt: before },
    ...(streamId !== undefined && { streamId }),
  };
  if (dryRun) return db.prisma.webhookDelivery.count({ where });
  return (await db.prisma.webhookDelivery.deleteMany({ where })).count;
}
