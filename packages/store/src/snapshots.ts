import { ErrataError, newId } from '@errata/contracts';
import { float32Bytes, float64ArrayBytes } from './bytes.js';
import type { ChunkSource, ChunkStore } from './chunks.js';
import type { Database } from './database.js';
import { isForeignKeyViolation } from './errors.js';
import type { Snapshot } from './generated/client.js';
import { positionCollected, unknownPosition } from './locks.js';
import { isWithin, ownerOf, ownershipOf, partsOf } from './owners.js';
import { snapshotReads, TENSOR_NAME } from './snapshot-reads.js';
import type { SnapshotInfo, SnapshotKey, SnapshotStore, SnapshotTensor } from './snapshot-types.js';

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
function record(db: Database, key: SnapshotKey, tensors: readonly WrittenTensor[]): Promise<SnapshotInfo | null> {
  const { streamId, seq, kind, form } = key;
  return db.session(async (client) => {
    // Not to be collected before this is seen.
    const batches = await client.query<{ hash: string | null; collected: boolean }>(
      'SELECT hash, collected_at IS NOT NULL AS collected FROM batches WHERE stream_id = $1 AND seq = $2 FOR SHARE',
      [streamId, seq],
    );
    const [batch] = batches.rows;
    if (!batch?.hash) throw unknownPosition(streamId, seq);
    if (batch.collected) throw positionCollected(streamId, seq);
    const id = newId('snp');
    const bytes = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
    const of = <Field extends keyof WrittenTensor>(field: Field) => tensors.map((tensor) => tensor[field]);
    const chunks = tensors.flatMap(({ name, chunks }) => chunks.map((chunk, index) => ({ name, index, chunk })));
    const written = await client.query<{ created_at: Date }>(
      `WITH snapshot AS (
         INSERT INTO snapshots (id, stream_id, seq, hash, kind, form, bytes) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT DO NOTHING RETURNING id, created_at),
       tensors AS (
         INSERT INTO snapshot_tensors (snapshot_id, name, element, rows, columns, bytes)
         SELECT id, t.* FROM snapshot, unnest($8::text[], $9::text[], $10::int[], $11::int[], $12::bigint[]) t),
       chunks AS (
         INSERT INTO snapshot_chunks (snapshot_id, name, index, chunk_id)
         SELECT id, c.* FROM snapshot, unnest($13::text[], $14::int[], $15::text[]) c)
       SELECT created_at FROM snapshot`,
      [
        ...[id, streamId, seq, batch.hash, kind, form, bytes],
        ...[of('name'), of('element'), of('rows'), of('columns'), of('bytes')],
        ...[chunks.map(({ name }) => name), chunks.map(({ index }) => index), chunks.map(({ chunk }) => chunk)],
      ],
    );
    const [row] = written.rows;
    return row
      ? { id, streamId, seq, hash: batch.hash, kind, form, bytes, createdAt: row.created_at.toISOString() }
      : null;
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
      const shapes: Omit<WrittenTensor, 'chunks'>[] = [];
      const sources = async function* (): AsyncGenerator<ChunkSource> {
        for await (const tensor of tensors) {
          const { name, rows, columns, data } = tensor;
          const bytes = bytesOf(tensor);
          const [element, width] = data instanceof Float32Array ? (['fp32', 4] as const) : (['fp64', 8] as const);
          shapes.push({ name, element, rows, columns, bytes: bytes.length });
          yield { bytes, width };
        }
      };
      const ids = await chunks.put(sources());
      const written = shapes.map((shape, i) => ({ ...shape, chunks: ids[i] }));
      try {
        const snapshot = await record(db, key, written);
        if (snapshot !== null) return { snapshot, created: true };
      } catch (error) {
        if (!isForeignKeyViolation(error)) throw error;
        throw new ErrataError('NOT_READY', 'a chunk of the snapshot was collected meanwhile: try again', {
          cause: error,
        });
      }
      const row = await byKey(key);
      if (!row) throw new ErrataError('NOT_READY', 'the snapshot was collected meanwhile: try again');
      return { snapshot: toInfo(row), created: false };
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

    ...snapshotReads(db, chunks),

    async dropSnapshot(snapshotId) {
      await db.prisma.snapshot.deleteMany({ where: { id: snapshotId } });
    },
  };
}
