import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { copyRowsOut } from './copy-out.js';
import { LendingSocket } from './lending-socket.js';
import { startTestServer, type TestServer } from './testing/index.js';

/** Some of them wait while the reader is busy: more than is held for it. */
const ROWS = 40;
const ROW_BYTES = 1_000_000;
const LARGE = `COPY (SELECT i, decode(md5(i::text), 'hex') || decode(repeat('5a', ${ROW_BYTES - 16}), 'hex')
  FROM generate_series(1, ${ROWS}) i) TO STDOUT (FORMAT binary)`;

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

/** With a socket that lends, and with one that does not: TLS has its own. */
const sockets = [{ stream: () => new LendingSocket() }, {}];

async function connected(options: pg.ClientConfig, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: server.url('postgres'), ...options });
  client.on('error', () => undefined);
  await client.connect();
  await work(client).finally(() => client.end());
}

const numbers = (client: pg.Client, query: string) =>
  copyRowsOut(client, `COPY (${query}) TO STDOUT (FORMAT binary)`, { rowOf: ([i]) => i?.readInt32BE() ?? null });

it.each(sockets)('reads rows of any size, however slow the reader is', (options) =>
  connected(options, async (client) => {
    const wanted = await client.query("SELECT decode(md5(i::text), 'hex') AS md5 FROM generate_series(1, $1::int) i", [
      ROWS,
    ]);
    const found: Buffer[] = [];
    const rowOf = (row: readonly (Buffer | null)[]) => row[1] as Buffer;
    for await (const bytes of copyRowsOut(client, LARGE, { rowOf })) {
      if (found.length % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 20));
      expect(bytes).toHaveLength(ROW_BYTES);
      expect(bytes.subarray(16).every((byte) => byte === 0x5a)).toBe(true);
      found.push(bytes.subarray(0, 16));
    }
    expect(found).toEqual(wanted.rows.map(({ md5 }) => md5));
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  }),
);

it.each(sockets)('calls the reader in the order of the stream', (options) =>
  connected(options, async (client) => {
    const calls: string[] = [];
    let taken = 0;
    const reader = {
      sinkOf: ([i]: readonly (Buffer | null)[], length: number) => {
        if (i === undefined) return null;
        calls.push(`sink of ${i?.readInt32BE()}: ${length}`);
        return (piece: Buffer) => {
          taken += piece.length;
        };
      },
      rowOf: ([i]: readonly (Buffer | null)[]) => calls.push(`row ${i?.readInt32BE()}`),
    };
    for await (const _ of copyRowsOut(client, LARGE, reader));
    const wanted = Array.from({ length: ROWS }, (_, i) => [`sink of ${i + 1}: ${ROW_BYTES}`, `row ${i + 1}`]);
    expect(calls).toEqual(wanted.flat());
    expect(taken).toBe(ROWS * ROW_BYTES);
  }),
);

it.each(sockets)('fails with the error of the server after the rows before it, and the connection goes on', (options) =>
  connected(options, async (client) => {
    const found: (number | null)[] = [];
    const read = async () => {
      for await (const row of numbers(client, 'SELECT 1 / (4 - i) FROM generate_series(1, 9) i')) found.push(row);
    };
    await expect(read()).rejects.toMatchObject({ code: '22012' });
    expect(found).toEqual([0, 0, 1]);
    await expect(numbers(client, 'SELECT nonsense').next()).rejects.toMatchObject({ code: '42703' });
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  }),
);

it.each(sockets)('fails with what the reader throws after the rows before it', (options) =>
  connected(options, async (client) => {
    const found: number[] = [];
    const rowOf = ([i]: readonly (Buffer | null)[]) => {
      const number = i?.readInt32BE() ?? 0;
      if (number === 3) throw new Error('no threes');
      return number;
    };
    const query = 'COPY (SELECT generate_series(1, 9)) TO STDOUT (FORMAT binary)';
    const read = async () => {
      for await (const row of copyRowsOut(client, query, { rowOf })) found.push(row);
    };
    await expect(read()).rejects.toThrow('no threes');
    expect(found).toEqual([1, 2]);
  }),
);

it.each(sockets)('fails when the connection is lost in the middle', (options) =>
  connected(options, async (client) => {
    const { rows } = await client.query('SELECT pg_backend_pid() AS pid');
    const read = async () => {
      let count = 0;
      for await (const _ of numbers(client, 'SELECT generate_series(1, 100000000)'))
        if (++count === 1000) await server.query(`SELECT pg_terminate_backend(${rows[0].pid})`);
    };
    await expect(read()).rejects.toThrow(/terminat/);
  }),
);
