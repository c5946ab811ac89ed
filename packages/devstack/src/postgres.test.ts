import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { accepts, freePorts } from './ports.js';
import { type EmbeddedPostgres, embeddedPostgres } from './postgres.js';
import { type Supervised, supervise } from './supervised.js';

let dataDir: string;
let server: Supervised | undefined;

beforeAll(() => {
  // mkdtemp makes a folder that only its owner may enter: as root this exercises the shared place.
  dataDir = path.join(mkdtempSync(path.join(tmpdir(), 'errata postgres-')), 'data');
});
afterEach(async () => {
  await server?.stop();
});
const folders = new Set<string>();
afterAll(() => {
  for (const folder of [...folders, path.dirname(dataDir)]) rmSync(folder, { recursive: true, force: true });
});

async function start(): Promise<EmbeddedPostgres> {
  const [port] = await freePorts(1);
  const logFile = path.join(dataDir, 'logs', 'postgres.log');
  const postgres = await embeddedPostgres({ dataDir, logFile, port }, () => {});
  folders.add(path.dirname(postgres.folder));
  server = supervise(
    postgres.spec,
    () => {},
    () => {},
  );
  await server.start();
  return postgres;
}

const addressOf = (url: string) => new URL(url).host;

test('a new cluster serves on its port and stops', async () => {
  const postgres = await start();
  expect(await accepts(addressOf(postgres.databaseUrl))).toBe(true);
  await server?.stop();
  expect(await accepts(addressOf(postgres.databaseUrl))).toBe(false);
});

test('the next start finds the cluster, on another port and with the same password', async () => {
  const first = await start();
  await server?.stop();
  const second = await start();
  expect(second.folder).toBe(first.folder);
  expect(new URL(second.databaseUrl).password).toBe(new URL(first.databaseUrl).password);
  expect(await accepts(addressOf(second.databaseUrl))).toBe(true);
});

test('after kill -9 the supervisor brings the server back on the same port', async () => {
  const postgres = await start();
  const first = server?.pid();
  server?.kill('SIGKILL');
  while (server?.state() === 'ready') await new Promise((resolve) => setTimeout(resolve, 10));
  await server?.ready();
  expect(server?.pid()).not.toBe(first);
  expect(await accepts(addressOf(postgres.databaseUrl))).toBe(true);
});

test('a lock file whose process id belongs to something else does not stop the start', async () => {
  const postgres = await start();
  const lock = path.join(postgres.folder, 'postmaster.pid');
  const stale = readFileSync(lock, 'utf8').replace(/^\d+/, String(process.pid));
  await server?.stop();
  writeFileSync(lock, stale);
  const again = await start();
  expect(await accepts(addressOf(again.databaseUrl))).toBe(true);
});
