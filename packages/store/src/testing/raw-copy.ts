import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import pg from 'pg';
import { copyRowsOut } from '../copy-out.js';
import { LendingSocket } from '../lending-socket.js';
import { copyRows } from './synthetic-log.js';

/** What a snapshot travels in. */
const PIECE_BYTES = 4 * 1024 * 1024;

const READ = 'COPY (SELECT data FROM raw_copy ORDER BY id) TO STDOUT (FORMAT binary)';

/** Before either side is timed: else the garbage of one is collected in the time of the other. */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

/** A bare COPY of bytes in pieces of 4 MB, in and out again: what nothing that stores and checks them can beat on one connection. */
export interface RawCopy {
  /** @returns seconds */
  copy(tensors: readonly Buffer[]): Promise<{ write: number; read: number }>;
  close(): Promise<void>;
}

export async function openRawCopy(url: string): Promise<RawCopy> {
  const client = new pg.Client({ connectionString: url, stream: () => new LendingSocket() });
  await client.connect();
  await client.query('CREATE TABLE raw_copy (id int PRIMARY KEY, data bytea NOT NULL)');
  await client.query('ALTER TABLE raw_copy ALTER COLUMN data SET STORAGE EXTERNAL');
  const timed = async (work: () => Promise<void>) => {
    const begun = performance.now();
    await work();
    return (performance.now() - begun) / 1000;
  };
  return {
    async copy(tensors) {
      const pieces = tensors.flatMap((bytes) =>
        Array.from({ length: Math.ceil(bytes.length / PIECE_BYTES) }, (_, i) =>
          bytes.subarray(i * PIECE_BYTES, (i + 1) * PIECE_BYTES),
        ),
      );
      collectGarbage();
      await client.query('TRUNCATE raw_copy');
      const write = await timed(() =>
        copyRows(
          client,
          'raw_copy',
          ['id', 'data'],
          pieces.map((piece, i) => [{ int4: i }, piece]),
        ),
      );
      const read = await timed(async () => {
        const ignored = { sinkOf: () => () => undefined, rowOf: () => undefined };
        for await (const _ of copyRowsOut(client, READ, ignored));
      });
      return { write, read };
    },
    close: () => client.end(),
  };
}
