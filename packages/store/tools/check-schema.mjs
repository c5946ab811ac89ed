#!/usr/bin/env node
// Proves that prisma/schema.prisma and prisma/migrations agree: applies the migrations to an empty database and asks
// Prisma's schema engine what is left to do. Uses DATABASE_URL (any database of a server that may make another one)
// or, without it, an embedded Postgres. Needs `tsc -b packages/store` first. Exit 1: they disagree; the SQL that would
// bring the migrations to the schema is printed. With --sql, prints the SQL that makes the whole schema from nothing.
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { migrate } from '../dist/index.js';
import { startTestDatabase } from '../dist/testing/index.js';
import { openSchemaEngine } from './schema-engine.mjs';

const schemaFile = fileURLToPath(new URL('../../../prisma/schema.prisma', import.meta.url));

/** A new database beside the one that DATABASE_URL names, dropped at the end. */
async function besides(serverUrl) {
  const name = `errata_check_${process.pid}`;
  const admin = async (sql) => {
    const client = new pg.Client({ connectionString: serverUrl });
    await client.connect();
    await client.query(sql).finally(() => client.end());
  };
  await admin(`CREATE DATABASE ${name}`);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return { url: url.href, stop: () => admin(`DROP DATABASE ${name} WITH (FORCE)`) };
}

const { DATABASE_URL } = process.env;
const database = DATABASE_URL ? await besides(DATABASE_URL) : await startTestDatabase({ migrated: false });
let failed = true;
try {
  const { applied } = await migrate(database.url);
  const engine = await openSchemaEngine(database.url, schemaFile);
  if (process.argv.includes('--sql')) console.log((await engine.fromEmpty()).text);
  const { equal, text } = await engine.toSchema();
  failed = !equal;
  if (equal) console.log(`prisma/schema.prisma and ${applied.length} migration(s) agree`);
  else console.error(`prisma/schema.prisma and prisma/migrations disagree; missing from the migrations:\n\n${text}`);
} finally {
  await database.stop();
}
process.exit(failed ? 1 : 0);
