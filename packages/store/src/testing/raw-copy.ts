import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import pg from 'pg';
import type { Row } from '../copy.js';
import { copyRowsOut } from '../copy-out.js';
import { LendingSocket } from '../lending-socket.js';
import { copyRows } from './synthetic-log.js';

/** What a snapshot travels in. */
const PIECE_BYTES = 4 * 1024 * 1024;

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

/** Times work after the garbage of what came before is collected, in milliseconds. */
export async function timedClean<Result>(work: () => Promise<Result>): Promise<{ ms: number; result: Result }> {
  collectGarbage();
  const begun = performance.now();
  const result = await work();
  return { ms: performance.now() - begun, result };
}

/**
 * A bare COPY of bytes in pieces of 4 MB on one connection, in, and out again into memory of their own: what nothing that stores
 * and checks them can beat there.
 */
export interface RawCopy {
  write(tensors: readonly Buffer[]): Promise<void>;
  /** Reads what was written last. */
  read(): Promise<void>;
  close(): Promise<void>;
}

export async function openRawCopy(url: string): Promise<RawCopy> {
  const client = new pg.Client({ connectionString: url, stream: () => new LendingSocket() });
  await client.connect();
  await client.query('CREATE TABLE raw_copy (id int PRIMARY KEY, data bytea NOT NULL)');
  await client.query('ALTER TABLE raw_copy ALTER COLUMN data SET STORAGE EXTERNAL');
  // Nothing is truncated: the pages of a table that goes at once are never written to disk.
  let [first, next] = [0, 0];
  return {
    async write(tensors) {
      first = next;
      const pieces = tensors.flatMap((bytes) =>
        Array.from({ length: Math.ceil(bytes.length / PIECE_BYTES) }, (_, i) =>
          bytes.subarray(i * PIECE_BYTES, (i + 1) * PIECE_BYTES),
        ),
      );
      next += pieces.length;
      const rows = pieces.map((piece, i) => [{ int4: first + i }, piece]);
      await copyRows(client, 'raw_copy', ['id', 'data'], rows);
    },
    async read() {
      const kept: Row[] = [];
      const text = `COPY (SELECT data FROM raw_copy WHERE id >= ${first} ORDER BY id) TO STDOUT (FORMAT binary)`;
      for await (const row of copyRowsOut(client, text, { rowOf: (row) => row })) kept.push(row);
      if (kept.length !== next - first) throw new Error(`${kept.length} of ${next - first} rows came back`);
    },
    close: () => client.end(),
  };
}
