import { createHash, randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { ErrataError } from '@errata/contracts';
import pg from 'pg';
import { toStoreError } from './errors.js';

/** The advisory lock that `prisma migrate` takes: the two wait for each other. */
const MIGRATE_LOCK = 72_707_369;
/** prisma/migrations of the repository, seen from src/ and from dist/ alike. */
const MIGRATIONS = new URL('../../../prisma/migrations/', import.meta.url);

/** Prisma's own table, in its own form, so that `prisma migrate deploy` goes on from here. */
const RECORDS = `CREATE TABLE IF NOT EXISTS _prisma_migrations (
  id VARCHAR(36) PRIMARY KEY NOT NULL,
  checksum VARCHAR(64) NOT NULL,
  finished_at TIMESTAMPTZ,
  migration_name VARCHAR(255) NOT NULL,
  logs TEXT,
  rolled_back_at TIMESTAMPTZ,
  started_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  applied_steps_count INTEGER NOT NULL DEFAULT 0)`;

/** The first that takes the storage of a column where its table is made; as `server_version_num` counts. */
const LEAST_SERVER = 160_000;

/** A migration as it lies in the repository. */
export interface Migration {
  readonly name: string;
  readonly sql: string;
  /** sha256 of the file, as Prisma keeps it. */
  readonly checksum: string;
}

interface MigrationRecord {
  readonly migration_name: string;
  readonly checksum: string;
  readonly finished: boolean;
}

/** The migrations of the repository in order. */
export async function readMigrations(folder: URL = MIGRATIONS): Promise<Migration[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return Promise.all(
    names.sort().map(async (name) => {
      const sql = await readFile(new URL(`${name}/migration.sql`, folder), 'utf8');
      return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
    }),
  );
}

/**
 * Which migrations a database still needs.
 * @throws ErrataError INTERNAL when one that was applied has changed since, was left unfinished, or is unknown here
 */
export function pendingMigrations(migrations: readonly Migration[], records: readonly MigrationRecord[]): Migration[] {
  for (const record of records) {
    const migration = migrations.find((candidate) => candidate.name === record.migration_name);
    const refuse = (why: string) => new ErrataError('INTERNAL', `migration ${record.migration_name} ${why}`);
    if (!migration)
      throw refuse('is in the database but not in prisma/migrations: this build is older than the database');
    if (!record.finished) throw refuse('was begun and not finished: see "prisma migrate resolve"');
    if (migration.checksum !== record.checksum)
      throw refuse(
        `was changed after it was applied (checksum ${record.checksum}, file ${migration.checksum}): restore the file`,
      );
  }
  return migrations.filter((migration) => !records.some((record) => record.migration_name === migration.name));
}

/** @throws ErrataError INTERNAL when the server is too old for the migrations. @param version `server_version_num` */
export function checkServer(version: number): void {
  if (version < LEAST_SERVER)
    throw new ErrataError(
      'INTERNAL',
      `the database is Postgres ${Math.floor(version / 10_000)}: ${LEAST_SERVER / 10_000} or newer is needed; upgrade it (pg_upgrade, or a dump into a newer server)`,
    );
}

/** The migrations recorded in a database, as a query. */
export const APPLIED = `SELECT migration_name, checksum, finished_at IS NOT NULL AS finished
  FROM _prisma_migrations WHERE rolled_back_at IS NULL ORDER BY started_at`;

async function apply(client: pg.Client, { name, sql, checksum }: Migration): Promise<void> {
  try {
    await client.query('BEGIN');
    await client.query(sql);
    await client.query(
      `INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name, started_at, applied_steps_count)
       VALUES ($1, $2, clock_timestamp(), $3, now(), 1)`,
      [randomUUID(), checksum, name],
    );
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
}

/**
 * Brings a database to the newest schema: applies what is missing of prisma/migrations, each in a transaction with its
 * record, one process at a time.
 * @returns the names of the migrations applied now
 * @throws ErrataError NOT_READY when the database cannot be reached; INTERNAL when an applied migration was changed, or the
 * server is too old
 */
export async function migrate(databaseUrl: string, folder?: URL): Promise<{ applied: string[] }> {
  const migrations = await readMigrations(folder);
  const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: 10_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    const { rows: settings } = await client.query<{ server_version_num: string }>('SHOW server_version_num');
    checkServer(Number(settings[0].server_version_num));
    await client.query('SELECT pg_advisory_lock($1)', [MIGRATE_LOCK]);
    await client.query(RECORDS);
    const { rows } = await client.query<MigrationRecord>(APPLIED);
    const pending = pendingMigrations(migrations, rows);
    for (const migration of pending) await apply(client, migration);
    return { applied: pending.map((migration) => migration.name) };
  } catch (error) {
    throw toStoreError(error, 'migrate');
  } finally {
    await client.end().catch(() => {});
  }
}
