import { ErrataError, newId } from '@errata/contracts';
import { float32Bytes, float64ArrayBytes, inHostOrder } from './bytes.js';
import type { ChunkStore } from './chunks.js';
import type { Database } from './database.js';
import { isForeignKeyViolation } from './errors.js';
import type { Snapshot } from './generated/client.js';
import { positionCollected, unknownPosition } from './locks.js';
import { isWithin, ownerOf, ownershipOf, partsOf } from './owners.js';
import type { SnapshotInfo, SnapshotKey, SnapshotStore, SnapshotTensor } from './snapshot-types.js';

const SNAPSHOT_ID = /^snp_[0-9a-f]{32}$/;
const TENSOR_NAME = /^[a-z0-9][a-z0-9/-]{0,99}$/;

/** A tensor whose chunks are stored. */
interface WrittenTensor extends Omit<SnapshotTensor, 'data'> {
  readonly element: 'fp32' | 'fp64';
  readonly bytes: number;
  readonly chunks: readonly string[];
}

function toInfo({ id, streamId, seq, hash, kind, form, bytes, createdAt }: Snapshot): SnapshotInfo {
  const known = kind as SnapshotInfo['kind'];
  return { id, streamId, seq, hash, kind: known, form, bytes: Number(bytes), createdAt: createdAt.toISOString() };
}

/** Little-endian. @throws ErrataError INVALID_TENSOR */
function bytesOf({ name, rows, columns, data }: SnapshotTensor): Buffer {
  if (!TENSOR_NAME.test(name))
    throw new ErrataError('INVALID_TENSOR', `${JSON.stringify(name)} is no name of a tensor`);
  if (data.length !== rows * columns)
    throw new ErrataError(
      'INVALID_TENSOR',
      `${name}: ${data.length} numbers do not make a ${rows} × ${columns} matrix`,
    );
  return data instanceof Float32Array ? float32Bytes(data) : float64ArrayBytes(data);
}

/** Makes a snapshot visible whose chunks are stored. @returns null when another of its key is there */
function record(db: Database, { streamId, seq, kind, form }: SnapshotKey, tensors: readonly WrittenTensor[]) {
  return db.session(async (client): Promise<string | null> => {
    // Not to be collected before this is seen.
    const { rows } = await client.query<{ hash: string | null; collected: boolean }>(
      'SELECT hash, collected_at IS NOT NULL AS collected FROM batches WHERE stream_id = $1 AND seq = $2 FOR SHARE',
      [streamId, seq],
    );
    const hash = rows[0]?.hash;
    if (!hash) throw unknownPosition(streamId, seq);
    if (rows[0].collected) throw positionCollected(streamId, seq);
    const id = newId('snp');
    const bytes = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
    const written = await client.query(
      `INSERT INTO snapshots (id, stream_id, seq, hash, kind, form, bytes) VALUES ($1, $2, $3, $4, $5, $6, $7)
       ON CONFLICT DO NOTHING`,
      [id, streamId, seq, hash, kind, form, bytes],
    );
    if (written.rowCount === 0) return null;
    for (const { name, element, rows: height, columns, bytes: size, chunks } of tensors) {
      await client.query(
        'INSERT INTO snapshot_tensors (snapshot_id, name, element, rows, columns, bytes) VALUES ($1, $2, $3, $4, $5, $6)',
        [id, name, element, height, columns, size],
      );
      await client.query(
        `INSERT INTO snapshot_chunks (snapshot_id, name, index, chunk_id)
         SELECT $1, $2, c.place - 1, c.id FROM unnest($3::text[]) WITH ORDINALITY AS c(id, place)`,
        [id, name, chunks],
      );
    }
    return id;
  });
}

export function snapshotRecords(db: Database, chunks: ChunkStore): Omit<SnapshotStore, 'replayCost'> {
  const byKey = ({ streamId, seq, kind, form }: SnapshotKey) =>
    db.prisma.snapshot.findUnique({ where: { streamId_seq_kind_form: { streamId, seq, kind, form } } });

  return {
    async saveSnapshot(named, tensors) {
      const { seq, kind, form } = named;
      if (seq === 0) throw unknownPosition(named.streamId, 0, 'the unedited model needs no snapshot');
      const key = { streamId: await ownerOf(db.prisma, named.streamId, seq), seq, kind, form };
      const before = await byKey(key);
      if (before) return { snapshot: toInfo(before), created: false };
      const written: WrittenTensor[] = [];
      for await (const tensor of tensors) {
        const { name, rows, columns, data } = tensor;
        const bytes = bytesOf(tensor);
        const ids = await chunks.put(bytes, data instanceof Float32Array ? 4 : 8);
        const element = data instanceof Float32Array ? 'fp32' : 'fp64';
        written.push({ name, element, rows, columns, bytes: bytes.length, chunks: ids });
      }
      let id: string | null;
      try {
        id = await record(db, key, written);
      } catch (error) {
        if (!isForeignKeyViolation(error)) throw error;
        throw new ErrataError('NOT_READY', 'a chunk of the snapshot was collected meanwhile: try again', {
          cause: error,
        });
      }
      const row = await byKey(key);
      if (!row) throw new ErrataError('NOT_READY', 'the snapshot was collected meanwhile: try again');
      return { snapshot: toInfo(row), created: id !== null };
    },

    async findSnapshots({ streamId, kind, form }, seqs) {
      const ownership = await ownershipOf(db.prisma, streamId);
      if (!ownership || seqs.length === 0) return [];
      const rows = await db.prisma.$queryRaw<{ id: string }[]>`
        SELECT s.id FROM snapshots s
        WHERE s.kind = ${kind} AND s.form = ${form} AND ${isWithin('s', partsOf(ownership, seqs))}`;
      const where = { id: { in: rows.map(({ id }) => id) } };
      return (await db.prisma.snapshot.findMany({ where, orderBy: { seq: 'desc' } })).map(toInfo);
    },

    async listSnapshots(streamId) {
      const orderBy = [{ seq: 'asc' as const }, { createdAt: 'asc' as const }];
      return (await db.prisma.snapshot.findMany({ where: { streamId }, orderBy })).map(toInfo);
    },

    async readSnapshotTensor(snapshotId, name) {
      const known = SNAPSHOT_ID.test(snapshotId) && TENSOR_NAME.test(name);
      const where = { snapshotId_name: { snapshotId, name } };
      const tensor = known ? await db.prisma.snapshotTensor.findUnique({ where }) : null;
      if (!tensor) throw new ErrataError('UNKNOWN_POSITION', `no snapshot ${snapshotId} has a tensor ${name}`);
      const { element, rows, columns } = tensor;
      const data = element === 'fp32' ? new Float32Array(rows * columns) : new Float64Array(rows * columns);
      const bytes = Buffer.from(data.buffer);
      let at = 0;
      const query = `SELECT c.id, c.bytes, c.codec, c.location, c.data FROM snapshot_chunks s JOIN chunks c ON c.id = s.chunk_id
        WHERE s.snapshot_id = '${snapshotId}' AND s.name = '${name}' ORDER BY s.index`;
      for await (const [id, size, codec, location, body] of db.copyOut(query)) {
        const stored = {
          id: String(id),
          bytes: size?.readInt32BE() ?? 0,
          codec: String(codec),
          location: location && String(location),
          data: body,
        };
        at += (await chunks.decode(stored)).copy(bytes, at);
      }
      if (at !== bytes.length)
        throw new ErrataError('LOG_CORRUPT', `${name} of snapshot ${snapshotId} has ${at} of ${bytes.length} bytes`);
      return { name, rows, columns, data: inHostOrder(data) };
    },

    async dropSnapshot(snapshotId) {
      await db.prisma.snapshot.deleteMany({ where: { id: snapshotId } });
    },
  };
}
