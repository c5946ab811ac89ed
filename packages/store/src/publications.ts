import { type AliasRecord, ErrataError, newId, type Publication, type PublicationStep } from '@errata/contracts';
import type { Database, Transaction } from './database.js';
import { writeEvent } from './events.js';
import { insertExport } from './exports.js';
import type { Prisma, Publication as PublicationRow } from './generated/client.js';
import { assertStorable, storable } from './text.js';
import type { Store } from './types.js';

/** Hexadecimal digits of the log's hash in the name of an adapter: positions of rolled back histories differ by them. */
const hashDigits = 8;

function toPublication({ steps, createdAt, status, ...row }: PublicationRow): Publication {
  return {
    ...row,
    status: status as Publication['status'],
    steps: steps as unknown as PublicationStep[],
    createdAt: createdAt.toISOString(),
  };
}

/** A step of a publication as an event of its stream. */
async function writeStep(
  tx: Transaction,
  { id, streamId, seq, target, alias, loraName }: PublicationRow,
  step: Prisma.InputJsonObject,
): Promise<void> {
  const detail = { ...step, publication: id, target, alias, loraName: step.loraName ?? loraName };
  await writeEvent(tx, { streamId, kind: 'publication', seq, detail });
}

const withPublication = { include: { publication: true } } as const;

function toAlias(row: Prisma.AliasGetPayload<typeof withPublication>): AliasRecord {
  const { publication, updatedAt, ...rest } = row;
  const { streamId, seq, loraName } = publication;
  return { ...rest, streamId, seq, loraName, updatedAt: updatedAt.toISOString() };
}

export function publicationRecords(
  db: Database,
): Pick<
  Store,
  | 'createPublication'
  | 'getPublication'
  | 'listPublications'
  | 'recordStep'
  | 'endPublication'
  | 'listAliases'
  | 'getAlias'
  | 'swapAlias'
> {
  const unknown = (id: string) =>
    new ErrataError('UNKNOWN_PUBLICATION', `there is no publication ${JSON.stringify(id.slice(0, 100))}`);

  return {
    createPublication({ dtype, maxRank, ...request }) {
      const { streamId, seq, alias } = request;
      return db.transaction(async (tx) => {
        const made = await insertExport(tx, { streamId, seq, format: 'peft', dtype, maxRank });
        const id = newId('pub');
        // A second adapter of the same position is another one: its file may be cut to another rank.
        const loraName = `${alias}-${seq}-${made.logHash.slice(0, hashDigits)}-${id.slice(-hashDigits)}`;
        const row = await tx.publication.create({
          data: { ...request, id, logHash: made.logHash, exportId: made.id, loraName, status: 'running', steps: [] },
        });
        return toPublication(row);
      });
    },

    async getPublication(id, streamId) {
      assertStorable({ publication: id });
      const row = await db.prisma.publication.findFirst({ where: { id, ...(streamId !== undefined && { streamId }) } });
      if (!row) throw unknown(id);
      return toPublication(row);
    },

    async listPublications(streamId) {
      const rows = await db.prisma.publication.findMany({
        where: { streamId },
        orderBy: [{ createdAt: 'asc' }, { id: 'asc' }],
      });
      return rows.map(toPublication);
    },

    async recordStep(id, step, detail) {
      await db.transaction(async (tx) => {
        await tx.$queryRaw`SELECT id FROM publications WHERE id = ${id} FOR UPDATE`;
        const row = await tx.publication.findUnique({ where: { id } });
        if (!row) throw unknown(id);
        const steps = row.steps as unknown as PublicationStep[];
        if (steps.some((known) => known.step === step)) return;
        const next = [...steps, { step, at: new Date().toISOString(), detail: storable(detail) }];
        await tx.publication.update({ where: { id }, data: { steps: next as unknown as Prisma.InputJsonArray } });
        await writeStep(tx, row, { ...detail, step });
      });
    },

    async endPublication(id, status, detail) {
      await db.transaction(async (tx) => {
        const { count } = await tx.publication.updateMany({
          where: { id, status: 'running' },
          data: { status, detail: storable(detail) },
        });
        const row = count > 0 && (await tx.publication.findUnique({ where: { id } }));
        if (row) await writeStep(tx, row, { step: 'end', status, detail });
      });
    },

    async listAliases() {
      const rows = await db.prisma.alias.findMany({
        ...withPublication,
        orderBy: [{ target: 'asc' }, { alias: 'asc' }],
      });
      return rows.map(toAlias);
    },

    async getAlias(target, alias) {
      const row = await db.prisma.alias.findUnique({ where: { target_alias: { target, alias } }, ...withPublication });
      return row && toAlias(row);
    },

    async swapAlias(target, alias, publicationId, version) {
      return db.transaction(async (tx) => {
        await tx.$queryRaw`SELECT 1 FROM pg_advisory_xact_lock(hashtextextended(${`alias ${target} ${alias}`}, 0))`;
        const where = { target_alias: { target, alias } };
        const found = await tx.alias.findUnique({ where, ...withPublication });
        if (found?.publicationId === publicationId) return toAlias(found);
        if ((found?.version ?? 0) !== version)
          throw new ErrataError(
            'ALIAS_MOVED',
            `${alias} on ${target} is at version ${found?.version ?? 0}, not ${version}: another publication came first; publish again`,
          );
        const data = { publicationId, version: version + 1, updatedAt: new Date() };
        const row = await tx.alias.upsert({
          where,
          create: { target, alias, ...data },
          update: data,
          ...withPublication,
        });
        return toAlias(row);
      });
    },
  };
}
