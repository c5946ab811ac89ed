import { createHash } from 'node:crypto';
import { type Corpus, ErrataError } from '@errata/contracts';
import { copyIn, type Database, type Transaction } from './database.js';
import { assertStorable, storable } from './text.js';
import type { Store } from './types.js';

const CHUNK_BYTES = 1024 * 1024;
const CORPUS_ID = /^crp_[0-9a-f]{64}$/;

interface CorpusRow {
  readonly id: string;
  readonly name: string;
  readonly bytes: number;
  readonly streams: number;
  readonly created_at: Date;
}

const SELECT = `SELECT c.id, c.name, c.bytes, c.created_at,
    (SELECT count(*)::int FROM streams s WHERE s.config #>> '{corpus,id}' = c.id) AS streams
  FROM corpora c`;

function toCorpus({ id, name, bytes, streams, created_at }: CorpusRow): Corpus {
  return { id, name, bytes, streams, createdAt: created_at.toISOString() };
}

function unknownCorpus(id: string): ErrataError {
  return new ErrataError(
    'UNKNOWN_CORPUS',
    `no corpus has the id ${JSON.stringify(id.slice(0, 100))}: upload its text first, or list those there are`,
  );
}

function* chunkRows(id: string, bytes: Buffer) {
  for (let index = 0; index * CHUNK_BYTES < bytes.length; index++)
    yield [id, { int4: index }, bytes.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES)];
}

/** Keeps a corpus from being deleted until the transaction ends. @throws ErrataError UNKNOWN_CORPUS */
export async function holdCorpus(tx: Transaction, id: string): Promise<void> {
  const found = await tx.$queryRaw<unknown[]>`SELECT id FROM corpora WHERE id = ${id} FOR KEY SHARE`;
  if (found.length === 0) throw unknownCorpus(id);
}

export function corpusRecords(
  db: Database,
): Pick<Store, 'addCorpus' | 'listCorpora' | 'getCorpus' | 'readCorpus' | 'deleteCorpus'> {
  async function getCorpus(id: string): Promise<Corpus> {
    assertStorable({ corpus: id });
    const [row] = await db.prisma.$queryRawUnsafe<CorpusRow[]>(`${SELECT} WHERE c.id = $1`, id);
    if (!row) throw unknownCorpus(id);
    return toCorpus(row);
  }

  return {
    getCorpus,

    async addCorpus(name, text) {
      if (text.trim() === '') throw new ErrataError('INVALID_REQUEST', 'the text is empty: a corpus needs words');
      assertStorable({ text });
      const bytes = Buffer.from(text, 'utf8');
      const id = `crp_${createHash('sha256').update(bytes).digest('hex')}`;
      await db.session(async (client) => {
        const written = await client.query(
          'INSERT INTO corpora (id, name, bytes) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
          [id, storable(name), bytes.length],
        );
        if (written.rowCount === 1)
          await copyIn(client, 'corpus_chunks', ['corpus_id', 'index', 'data'], chunkRows(id, bytes));
      });
      return getCorpus(id);
    },

    async listCorpora() {
      const rows = await db.prisma.$queryRawUnsafe<CorpusRow[]>(`${SELECT} ORDER BY c.created_at, c.id`);
      return rows.map(toCorpus);
    },

    async readCorpus(id) {
      if (!CORPUS_ID.test(id)) throw unknownCorpus(id);
      const parts: Buffer[] = [];
      const query = `SELECT data FROM corpus_chunks WHERE corpus_id = '${id}' ORDER BY index`;
      for await (const [data] of db.copyOut(query)) if (data) parts.push(data);
      if (parts.length === 0) throw unknownCorpus(id);
      const bytes = Buffer.concat(parts);
      if (`crp_${createHash('sha256').update(bytes).digest('hex')}` !== id)
        throw new ErrataError('LOG_CORRUPT', `the corpus ${id} does not match its hash`);
      return bytes.toString('utf8');
    },

    async deleteCorpus(id) {
      assertStorable({ corpus: id });
      await db.transaction(async (tx) => {
        const found = await tx.$queryRaw<unknown[]>`SELECT id FROM corpora WHERE id = ${id} FOR UPDATE`;
        if (found.length === 0) throw unknownCorpus(id);
        // Counted after the lock: a stream that was being made has been committed by now.
        const [{ names }] = await tx.$queryRaw<{ names: string[] }[]>`
          SELECT array_agg(name ORDER BY name) AS names FROM streams WHERE config #>> '{corpus,id}' = ${id}`;
        if (names !== null && names.length > 0)
          throw new ErrataError(
            'CORPUS_IN_USE',
            `the corpus ${id} is named by ${names.length} streams, ${JSON.stringify(names[0])} among them`,
          );
        await tx.covariancePartial.deleteMany({ where: { source: id } });
        await tx.corpus.delete({ where: { id } });
      });
    },
  };
}
