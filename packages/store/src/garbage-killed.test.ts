import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStore, type GarbageReport, type Store } from './index.js';
import { startTestDatabase, type TestDatabase, writeSyntheticLog } from './testing/index.js';
import { sampleMatrix, sampleStream, sql } from './testing/samples.js';

const script = fileURLToPath(new URL('../dist/testing/collect-process.js', import.meta.url));
const [batches, kept] = [300, 100];

let database: TestDatabase;
let store: Store;

beforeAll(async () => {
  database = await startTestDatabase();
  store = createStore({ databaseUrl: database.url });
});
afterAll(async () => {
  await store.close();
  await database.stop();
});

function collect(): { child: ChildProcess; done: Promise<{ code: number | null; report: string }> } {
  const child = spawn(process.execPath, [script, database.url], { stdio: ['ignore', 'pipe', 'inherit'] });
  let report = '';
  child.stdout?.on('data', (text) => {
    report += text;
  });
  return { child, done: new Promise((resolve) => child.once('close', (code) => resolve({ code, report }))) };
}

const count = async (query: string): Promise<number> =>
  Number((await sql(database.url, `SELECT count(*)::int AS n FROM ${query}`)).rows[0].n);

it('goes on after kill -9 in the middle: what was removed stays removed, nothing that is reached goes', async () => {
  const stream = await sampleStream(store, 'killed');
  await writeSyntheticLog(database.url, stream, batches, (seq, layer) => ({
    keys: sampleMatrix(6, 1, seq),
    g: sampleMatrix(6, 1, seq + layer),
    b: sampleMatrix(4, 1, layer),
    rDiagonal: [1 + seq],
  }));
  await store.rollback(stream.id, kept);
  await sql(
    database.url,
    `INSERT INTO chunks (id, bytes, stored_bytes, codec, data)
     SELECT lpad(i::text, 64, '0'), 4, 4, 'none', '\\x00000000' FROM generate_series(1, 100) i`,
  );

  // Batches go in transactions of 64, the latest first: the third of them waits for this one, and is killed while it does.
  const blocked = 150;
  const holder = new pg.Client({ connectionString: database.url });
  await holder.connect();
  await holder.query('BEGIN');
  await holder.query('SELECT FROM batches WHERE stream_id = $1 AND seq = $2 FOR UPDATE', [stream.id, blocked]);
  const first = collect();
  await expect
    .poll(() => count(`pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE batches%'`), {
      timeout: 60_000,
    })
    .toBe(1);
  first.child.kill('SIGKILL');
  expect(await first.done).toEqual({ code: null, report: '' });
  await holder.query('ROLLBACK');
  await holder.end();
  await expect
    .poll(() =>
      count(`pg_stat_activity WHERE query LIKE 'UPDATE batches%' AND state <> 'idle' AND pid <> pg_backend_pid()`),
    )
    .toBe(0);

  const collected = `batches WHERE stream_id = '${stream.id}' AND collected_at IS NOT NULL`;
  const entries = `log_entries WHERE stream_id = '${stream.id}'`;
  expect(await count(collected)).toBe(128);
  expect(await count(`${collected} AND seq <= ${batches - 128}`)).toBe(0);
  expect(await count(entries)).toBe(2 * (batches - 128));
  expect((await store.verifyLog(stream.id, kept)).problems).toEqual([]);

  const second = await collect().done;
  expect(second.code).toBe(0);
  const report = JSON.parse(second.report) as GarbageReport;
  expect(report).toMatchObject({ batches: batches - kept - 128, chunks: 100 });
  expect(await count(collected)).toBe(batches - kept);
  expect(await count(`${collected} AND seq <= ${kept}`)).toBe(0);
  expect(await count(entries)).toBe(2 * kept);
  expect((await store.verifyLog(stream.id, kept)).problems).toEqual([]);
  const said = (await store.listEvents(stream.id)).filter(({ kind }) => kind === 'collected');
  expect(said.reduce((sum, { detail }) => sum + Number(detail.batches), 0)).toBe(batches - kept);
  await expect(store.rollback(stream.id, blocked)).rejects.toMatchObject({ code: 'POSITION_COLLECTED' });

  const third = await collect().done;
  expect(JSON.parse(third.report)).toMatchObject({ batches: 0, chunks: 0 });
});
