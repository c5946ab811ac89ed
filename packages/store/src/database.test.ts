import { afterAll, beforeAll, expect, it } from 'vitest';
import { openDatabase } from './database.js';
import { toStoreError } from './errors.js';
import { createStore, type Store } from './index.js';
import { migrate } from './migrate.js';
import { startTestServer, type TestServer } from './testing/index.js';
import { sampleEdit, sampleModel, sampleStream, sql } from './testing/samples.js';

let server: TestServer;
let url: string;
let store: Store;

beforeAll(async () => {
  server = await startTestServer();
  await server.query('CREATE DATABASE errors');
  url = server.url('errors');
  await migrate(url);
  store = createStore({ databaseUrl: url, poolSize: 3 });
});
afterAll(async () => {
  await store.close();
  await server.stop();
});

const cut = () =>
  sql(
    url,
    'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
  );

it('holds no more connections than its pool', async () => {
  await store.registerModel(sampleModel);
  await Promise.all(Array.from({ length: 50 }, () => store.listModels()));
  const { rows } = await sql(url, "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'errata'");
  expect(rows[0].n).toBeLessThanOrEqual(3);
});

it('goes on after its connections were cut', async () => {
  await store.listModels();
  await cut();
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(await store.listModels()).toHaveLength(1);
});

it('calls a connection lost in the middle of work NOT_READY, and nothing of that work stays', async () => {
  const stream = await sampleStream(store, 'cut');
  const db = openDatabase(url, 2);
  const errors: unknown[] = [];
  const insert = `INSERT INTO checkpoints VALUES ('${stream.id}', 'lost', 0, 'x')`;
  await db
    .session(async (client) => {
      await client.query(insert);
      await Promise.all([client.query('SELECT pg_sleep(5)'), cut()]);
    })
    .catch((error) => errors.push(toStoreError(error, 'test')));
  await db
    .transaction(async (tx) => {
      await tx.$executeRawUnsafe(insert);
      await Promise.all([tx.$queryRaw`SELECT 1 FROM pg_sleep(5)`, cut()]);
    })
    .catch((error) => errors.push(toStoreError(error, 'test')));
  expect(errors).toMatchObject([{ code: 'NOT_READY' }, { code: 'NOT_READY' }]);
  expect(await store.listCheckpoints(stream.id)).toEqual([]);
  await db.close();
});

it('calls tables and columns of another version, as in the middle of an upgrade, NOT_READY', async () => {
  const db = openDatabase(url, 1);
  const unknown = [
    () => db.session((client) => client.query('SELECT later FROM streams')),
    () => db.session((client) => client.query('SELECT 1 FROM later')),
    () => db.prisma.$queryRaw`SELECT later FROM streams`,
  ];
  for (const work of unknown)
    expect(toStoreError(await work().catch((error: unknown) => error), 'test')).toMatchObject({ code: 'NOT_READY' });
  await db.close();
});

it('calls a statement that ran too long DEADLINE_EXCEEDED', async () => {
  const db = openDatabase(url, 1);
  const slow = [
    () =>
      db.prisma.$transaction(async (tx) => {
        await tx.$executeRaw`SET LOCAL statement_timeout = 50`;
        await tx.$queryRaw`SELECT 1 FROM pg_sleep(5)`;
      }),
    () =>
      db.session(async (client) => {
        await client.query('SET LOCAL statement_timeout = 50');
        await client.query('SELECT pg_sleep(5)');
      }),
  ];
  for (const work of slow)
    expect(await work().catch((error) => toStoreError(error, 'test'))).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  await db.close();
});

it('gives back a connection whose COPY was left in the middle', async () => {
  const db = openDatabase(url, 1);
  for (let i = 0; i < 3; i++)
    for await (const row of db.copyOut('SELECT generate_series(1, 1000000)')) {
      expect(row[0]?.readInt32BE()).toBe(1);
      break;
    }
  await expect(db.copyOut('SELECT nonsense').next()).rejects.toThrow(/nonsense/);
  expect(await db.prisma.model.count()).toBe(1);
  await db.close();
});

it('is NOT_READY while the server is away', async () => {
  const stream = await sampleStream(store, 'away');
  const nowhere = createStore({ databaseUrl: 'postgresql://a:b@127.0.0.1:1/c' });
  for (const ask of [
    () => nowhere.ping(),
    () => nowhere.getStream('x'),
    () => nowhere.enqueueEdits(stream.id, [sampleEdit('a', 'b')]),
    () => nowhere.readTargets(stream.id, 1),
  ])
    await expect(ask()).rejects.toMatchObject({ code: 'NOT_READY', retryable: true });
  await nowhere.close();
});
