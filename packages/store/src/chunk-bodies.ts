import { randomUUID } from 'node:crypto';
import { ErrataError } from '@errata/contracts';
import { copyIn, type Database } from './database.js';

/** Object storage by key. `get` of what is not there and all other failures throw. */
export interface ObjectStore {
  put(key: string, bytes: Buffer): Promise<void>;
  get(key: string): Promise<Buffer>;
  /** What is not there is removed already. */
  remove(key: string): Promise<void>;
}

/** A chunk as it is to be stored. */
export interface ChunkRow {
  readonly id: string;
  /** Of the chunk itself. */
  readonly bytes: number;
  readonly codec: string;
  readonly body: Buffer;
}

/** Where the bodies of new chunks go. */
export interface ChunkBodies {
  /** Stores chunks that are not there, in one transaction. */
  insert(rows: readonly ChunkRow[]): Promise<void>;
  /** @throws ErrataError LOG_CORRUPT the body is gone */
  read(location: string | null, data: Buffer | null): Promise<Buffer>;
  /** Removes objects that no chunk names. @returns whether it can: not without object storage */
  remove(locations: readonly string[]): Promise<boolean>;
}

const COLUMNS = ['id', 'bytes', 'stored_bytes', 'codec', 'location', 'data'];

/** Bodies in the rows of the table; those that lie in object storage are read there. */
function inRows(db: Database, objects: ObjectStore | null): ChunkBodies {
  return {
    insert: (rows) =>
      db.session((client) =>
        copyIn(
          client,
          'chunks',
          COLUMNS,
          rows.map(({ id, bytes, codec, body }) => [id, { int4: bytes }, { int4: body.length }, codec, null, body]),
        ),
      ),
    async read(location, data) {
      if (data !== null) return data;
      if (objects === null)
        throw new ErrataError(
          'NOT_READY',
          `chunk ${location} lies in object storage: set SNAPSHOT_S3_* for this process`,
        );
      return objects.get(location ?? '');
    },
    async remove(locations) {
      if (objects === null) return false;
      for (const location of locations) {
        await objects.remove(location);
        await db.prisma.chunkObject.deleteMany({ where: { location } });
      }
      return true;
    },
  };
}

/**
 * Bodies in object storage. An object has a key of its own for every attempt to write it, which is in the table
 * `chunk_objects` for as long as no chunk names it: whatever is interrupted, the next collection finds it there.
 */
function inObjects(db: Database, objects: ObjectStore): ChunkBodies {
  return {
    ...inRows(db, objects),
    async insert(rows) {
      const placed = rows.map((row) => ({ ...row, location: `chunks/${row.id}/${randomUUID()}` }));
      await db.prisma.chunkObject.createMany({ data: placed.map(({ location }) => ({ location })) });
      for (const { location, body } of placed) await objects.put(location, body);
      await db.session(async (client) => {
        const fields = placed.map(({ id, bytes, codec, body, location }) => [
          ...[id, { int4: bytes }, { int4: body.length }, codec, location],
          null,
        ]);
        await copyIn(client, 'chunks', COLUMNS, fields);
        const named = [placed.map((row) => row.location)];
        const { rowCount } = await client.query('DELETE FROM chunk_objects WHERE location = ANY($1)', named);
        if (rowCount !== placed.length)
          throw new ErrataError('NOT_READY', 'an object was collected while it was written: try again');
      });
    },
  };
}

/** Postgres, or object storage where there is one. */
export function chunkBodies(db: Database, objects: ObjectStore | null): ChunkBodies {
  return objects === null ? inRows(db, null) : inObjects(db, objects);
}
