import { migrate } from '../migrate.js';
import { startTestServer, type TestServer } from './server.js';

const TEMPLATE = 'errata_template';

export interface TestDatabase {
  readonly url: string;
  /** Ends this database; the server ends with the last one. */
  stop(): Promise<void>;
}

interface Running {
  readonly server: Promise<TestServer>;
  databases: number;
  made: number;
}

// One server a test file: starting one takes a second, a database tens of milliseconds.
let running: Running | null = null;

async function startWithTemplate(): Promise<TestServer> {
  const server = await startTestServer();
  await server.query(`CREATE DATABASE ${TEMPLATE}`);
  await migrate(server.url(TEMPLATE));
  return server;
}

/**
 * A fresh database on an embedded Postgres that this test file shares.
 * @param options `migrated: false` leaves the database empty
 */
export async function startTestDatabase(options: { migrated?: boolean } = {}): Promise<TestDatabase> {
  running ??= { server: startWithTemplate(), databases: 0, made: 0 };
  const mine = running;
  mine.databases++;
  const name = `test_${++mine.made}`;
  const server = await mine.server;
  await server.query(`CREATE DATABASE ${name} ${options.migrated === false ? '' : `TEMPLATE ${TEMPLATE}`}`);
  let stopped = false;
  return {
    url: server.url(name),
    async stop() {
      if (stopped) return;
      stopped = true;
      if (--mine.databases > 0) {
        await server.query(`DROP DATABASE ${name} WITH (FORCE)`);
        return;
      }
      running = null;
      await server.stop();
    },
  };
}
