import { ErrataError, type Export, newId } from '@errata/contracts';
import type { Database, Transaction } from './database.js';
import type { Export as ExportRow, Prisma } from './generated/client.js';
import { positionHash } from './lineage.js';
import { lockDestination } from './locks.js';
import { assertStorable, storable } from './text.js';
import type { Store } from './types.js';

/** Statuses of exports whose folder is theirs. */
const holding = ['queued', 'running', 'done'];
/** What nothing follows on. */
const settled: readonly Export['status'][] = ['done', 'failed', 'cancelled'];

export function toExport(row: ExportRow): Export {
  const { bytesDone, bytesTotal, createdAt, manifest, ...rest } = row;
  return {
    ...rest,
    format: row.format as Export['format'],
    dtype: row.dtype as Export['dtype'],
    status: row.status as Export['status'],
    bytesDone: Number(bytesDone),
    bytesTotal: Number(bytesTotal),
    manifest: manifest as Export['manifest'],
    createdAt: createdAt.toISOString(),
  };
}

/** Stores an export as queued. @throws EXPORT_EXISTS another has its destination, UNKNOWN_POSITION */
export async function insertExport(tx: Transaction, request: Parameters<Store['createExport']>[0]): Promise<ExportRow> {
  const { streamId, seq, format, dtype, maxRank } = request;
  const id = newId('exp');
  const destination = request.destination ?? id;
  await lockDestination(tx, destination);
  const other = await tx.export.findFirst({ where: { destination, status: { in: holding } } });
  if (other)
    throw new ErrataError(
      'EXPORT_EXISTS',
      `the folder ${destination} belongs to export ${other.id}: name another destination, or delete that export first`,
    );
  const logHash = await positionHash(tx, streamId, seq);
  return tx.export.create({
    data: { id, streamId, seq, logHash, format, dtype, maxRank, destination, status: 'queued' },
  });
}

export function exportRecords(
  db: Database,
): Pick<Store, 'createExport' | 'getExport' | 'listExports' | 'updateExport' | 'deleteExport'> {
  const unknown = (id: string) =>
    new ErrataError('UNKNOWN_EXPORT', `there is no export ${JSON.stringify(id.slice(0, 100))}`);

  return {
    createExport: (request) => db.transaction(async (tx) => toExport(await insertExport(tx, request))),

    async getExport(id, streamId) {
      assertStorable({ export: id });
      const row = await db.prisma.export.findFirst({ where: { id, ...(streamId !== undefined && { streamId }) } });
      if (!row) throw unknown(id);
      return toExport(row);
    },

    async listExports(streamId) {
      const rows = await db.prisma.export.findMany({
        where: { streamId },
        orderBy: [{ createdAt: 'asc' }, { id: 'asc' }],
      });
      return rows.map(toExport);
    },

    async updateExport(id, { manifest, detail, ...change }) {
      await db.prisma.export.updateMany({
        where: { id, status: { notIn: [...settled] } },
        data: {
          ...change,
          ...(detail !== undefined && { detail: storable(detail) }),
          ...(manifest && { manifest: manifest as unknown as Prisma.InputJsonObject }),
        },
      });
    },

    async deleteExport(id) {
      await db.transaction(async (tx) => {
        const used = await tx.publication.findFirst({
          where: { exportId: id, OR: [{ status: 'running' }, { aliases: { some: {} } }] },
        });
        if (used)
          throw new ErrataError(
            'EXPORT_IN_USE',
            `export ${id} is what ${used.alias} on ${used.target} serves: publish another position there first`,
          );
        // Prisma sets a JSON column to NULL only by a value of its own.
        const changed = await tx.$executeRaw`
          UPDATE exports SET status = 'cancelled', manifest = NULL, detail = 'deleted' WHERE id = ${id}`;
        if (changed === 0) throw unknown(id);
      });
    },
  };
}
