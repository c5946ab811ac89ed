import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { type CopyField, encodeRows, type Row } from './copy.js';
import { copyRowsOut, type RowReader } from './copy-out.js';
import { type Prisma, PrismaClient } from './generated/client.js';
import { LendingSocket } from './lending-socket.js';

/** Longest a single statement may run; COPY of tensors has its own limit. */
const STATEMENT_TIMEOUT_MS = 30_000;
/** A covariance of 14,336² fp32 (822 MB) goes in at about 100 MB/s. */
const COPY_TIMEOUT_MS = 600_000;
/** Longest wait for a free connection or for the server to accept one. */
const CONNECT_TIMEOUT_MS = 10_000;
const TRANSACTION_TIMEOUT_MS = 60_000;
const ROWS: RowReader<Row> = { rowOf: (row) => row };

/** What the store writes to its log; pino fits. */
export interface StoreLogger {
  warn(fields: Record<string, unknown>, message: string): void;
}

export type Transaction = Prisma.TransactionClient;

/** One bounded pool of connections, seen through Prisma (records) and through pg (tensors). */
export interface Database {
  readonly prisma: PrismaClient;
  /** Runs in one transaction (read committed) of Prisma's. */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;
  /** Runs in one transaction of pg's, for work that mixes records with COPY. */
  session<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T>;
  /** Streams the rows of `COPY (query) TO STDOUT`. The query takes no parameters: only checked values may be in it. */
  copyOut(query: string): AsyncGenerator<Row>;
  copyOut<Item>(query: string, reader: RowReader<Item>): AsyncGenerator<Item>;
  close(): Promise<void>;
}

/** Writes rows with COPY on a connection inside a transaction. */
export async function copyIn(
  client: pg.PoolClient,
  table: string,
  columns: readonly string[],
  rows: Iterable<readonly CopyField[]>,
): Promise<void> {
  await client.query(`SET LOCAL statement_timeout = ${COPY_TIMEOUT_MS}`);
  const names = columns.map((name) => `"${name}"`).join(', ');
  const sink = client.query(copyFrom(`COPY "${table}" (${names}) FROM STDIN (FORMAT binary)`));
  await pipeline(Readable.from(encodeRows(rows), { objectMode: true }), sink);
}

/** Opens the pool; connects on first use. */
export function openDatabase(databaseUrl: string, poolSize: number, logger?: StoreLogger): Database {
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    max: poolSize,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    idleTimeoutMillis: 30_000,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: 2 * TRANSACTION_TIMEOUT_MS,
    application_name: 'errata',
    keepAlive: true,
    stream: () => new LendingSocket(),
  });
  // An idle connection that breaks is replaced by the pool; without a listener it would end the process.
  pool.on('error', (error) => logger?.warn({ error: error.message }, 'an idle database connection was lost'));
  // A connection that breaks while it is lent also reports to its own listeners; the query in flight fails with it.
  pool.on('connect', (client) => client.on('error', () => {}));
  const prisma = new PrismaClient({ adapter: new PrismaPg(pool) });

  async function session<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await pool.connect();
    let broken = false;
    try {
      await client.query('BEGIN');
      const result = await work(client);
      await client.query('COMMIT');
      return result;
    } catch (error) {
      broken = await client.query('ROLLBACK').then(
        () => false,
        () => true,
      );
      throw error;
    } finally {
      client.release(broken);
    }
  }

  async function* copyOut<Item>(query: string, reader: RowReader<Item | Row> = ROWS): AsyncGenerator<Item | Row> {
    const client = await pool.connect();
    let finished = false;
    try {
      // One message, so one transaction, and nothing waits for an answer before the rows.
      const settings = `SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = ${COPY_TIMEOUT_MS}`;
      yield* copyRowsOut(client, `${settings}; COPY (${query}) TO STDOUT (FORMAT binary)`, reader);
      finished = true;
    } finally {
      // A reader that stops in the middle leaves the connection in the middle of a COPY: it cannot be used again.
      client.release(!finished);
    }
  }

  return {
    prisma,
    transaction: (work) => prisma.$transaction(work, { maxWait: CONNECT_TIMEOUT_MS, timeout: TRANSACTION_TIMEOUT_MS }),
    session,
    copyOut,
    close: async () => {
      await prisma.$disconnect();
      await pool.end();
    },
  };
}
