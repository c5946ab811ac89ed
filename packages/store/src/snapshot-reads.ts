import { createHash, type Hash } from 'node:crypto';
import { ErrataError } from '@errata/contracts';
import { inHostOrder } from './bytes.js';
import type { ChunkStore, StoredChunk } from './chunks.js';
import type { FieldSink, Row } from './copy.js';
import type { RowReader } from './copy-out.js';
import type { Database } from './database.js';
import type { SnapshotStore, SnapshotTensor } from './snapshot-types.js';

const SNAPSHOT_ID = /^snp_[0-9a-f]{32}$/;
export const TENSOR_NAME = /^[a-z0-9][a-z0-9/-]{0,99}$/;
/** Chunks of which the bodies are still fetched or decompressed while the next ones come in. */
const READ_AHEAD = 3;

const COLUMNS = 't.name, t.element, t.rows, t.columns, c.id, c.bytes, c.codec, c.location, c.data';

/** The fields of a row before its data. */
function readHead([name, element, rows, columns, id, bytes, codec, location]: Row) {
  const int = (field: Buffer | null) => field?.readInt32BE() ?? 0;
  const chunk = { id: String(id), bytes: int(bytes), codec: String(codec), location: location && String(location) };
  return { name: String(name), element: String(element), rows: int(rows), columns: int(columns), chunk };
}
type Head = ReturnType<typeof readHead>;

/** A tensor whose chunks come in. */
class Incoming {
  readonly #bytes: Buffer;
  readonly #chunks: Promise<void>[] = [];
  #at = 0;

  constructor(private readonly head: Head) {
    const { element, rows, columns } = head;
    // Every byte is written, or the tensor is not finished.
    this.#bytes = Buffer.allocUnsafeSlow(rows * columns * (element === 'fp32' ? 4 : 8));
  }

  get name(): string {
    return this.head.name;
  }

  get complete(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** Puts the next chunk in its place while it comes in; null for one of another size than it should have. */
  sink({ bytes }: Head['chunk'], length: number, hash: Hash): FieldSink | null {
    if (length !== bytes || this.#at + length > this.#bytes.length) return null;
    let at = this.#at;
    return (piece) => {
      hash.update(piece);
      at += piece.copy(this.#bytes, at);
    };
  }

  /** Takes room for the next chunk. @returns puts it there */
  reserve({ bytes }: Head['chunk']): (chunk: Buffer) => void {
    const at = this.#at;
    this.#at += bytes;
    return (chunk) => void chunk.copy(this.#bytes, at);
  }

  /** Waits for all but the last few of the chunks that are not in their place yet. */
  async add(placed: Promise<void>): Promise<void> {
    // Whoever finishes the tensor is told.
    placed.catch(() => undefined);
    this.#chunks.push(placed);
    await this.#chunks[this.#chunks.length - 1 - READ_AHEAD];
  }

  /** @throws ErrataError LOG_CORRUPT */
  async finish(): Promise<SnapshotTensor> {
    await Promise.all(this.#chunks);
    const { name, element, rows, columns } = this.head;
    if (this.#at !== this.#bytes.length)
      throw new ErrataError('LOG_CORRUPT', `${name} has ${this.#at} of ${this.#bytes.length} bytes`);
    const { buffer } = this.#bytes;
    const data = element === 'fp32' ? new Float32Array(buffer) : new Float64Array(buffer);
    return { name, rows, columns, data: inHostOrder(data) };
  }
}

/** A chunk that came in. */
interface Arrival {
  readonly tensor: Incoming;
  /** It is still to be decoded and put in its place; null where it was, and is what it should be. */
  readonly waiting: { readonly chunk: StoredChunk; readonly place: (chunk: Buffer) => void } | null;
  /** It is the last of its tensor. */
  readonly last: boolean;
}

/** Puts chunks together to tensors. What lies in the rows is hashed as it comes in, and copied once. */
class Assembly implements RowReader<Arrival> {
  #current: Incoming | undefined;
  #hash: Hash | null = null;

  readonly sinkOf = (before: Row, length: number): FieldSink | null => {
    const head = before.length === 8 ? readHead(before) : null;
    if (head?.chunk.codec !== 'none') return null;
    const hash = createHash('sha256');
    const sink = this.#of(head).sink(head.chunk, length, hash);
    this.#hash = sink && hash;
    return sink;
  };

  /** @throws ErrataError LOG_CORRUPT */
  readonly rowOf = (row: Row): Arrival => {
    const head = readHead(row);
    const { chunk } = head;
    const tensor = this.#of(head);
    const hash = this.#hash;
    this.#hash = null;
    if (hash !== null && hash.digest('hex') !== chunk.id)
      throw new ErrataError('LOG_CORRUPT', `chunk ${chunk.id} does not match its hash`);
    const place = tensor.reserve(chunk);
    const last = tensor.complete;
    if (last) this.#current = undefined;
    return { tensor, waiting: hash === null ? { chunk: { ...chunk, data: row[8] }, place } : null, last };
  };

  /** @throws ErrataError LOG_CORRUPT a tensor is not complete */
  async end(): Promise<void> {
    await this.#current?.finish();
  }

  #of(head: Head): Incoming {
    if (this.#current !== undefined && this.#current.name !== head.name)
      throw new ErrataError('LOG_CORRUPT', `${this.#current.name} lacks its last chunks`);
    this.#current ??= new Incoming(head);
    return this.#current;
  }
}

function unknownTensor(snapshotId: string, name: string): ErrataError {
  return new ErrataError('UNKNOWN_POSITION', `no snapshot ${snapshotId} has a tensor ${name}`);
}

/** Reads tensors of a snapshot in one pass. */
export function snapshotReads(
  db: Database,
  chunks: ChunkStore,
): Pick<SnapshotStore, 'readSnapshotTensor' | 'readSnapshotTensors'> {
  const read: SnapshotStore['readSnapshotTensors'] = async (snapshotId, names, use) => {
    const wrong = SNAPSHOT_ID.test(snapshotId) ? names.find((name) => !TENSOR_NAME.test(name)) : names[0];
    if (wrong !== undefined) throw unknownTensor(snapshotId, wrong);
    const query = `SELECT ${COLUMNS} FROM unnest('{${names.join(',')}}'::text[]) WITH ORDINALITY AS n(name, place)
      JOIN snapshot_tensors t ON t.snapshot_id = '${snapshotId}' AND t.name = n.name
      JOIN snapshot_chunks s ON s.snapshot_id = t.snapshot_id AND s.name = t.name
      JOIN chunks c ON c.id = s.chunk_id ORDER BY n.place, s.index`;
    const missing = new Set(names);
    const assembly = new Assembly();
    for await (const { tensor, waiting, last } of db.copyOut(query, assembly)) {
      if (waiting !== null) await tensor.add(chunks.decode(waiting.chunk).then(waiting.place));
      if (!last) continue;
      if (!missing.delete(tensor.name)) throw new ErrataError('LOG_CORRUPT', `${tensor.name} has too many chunks`);
      await use(await tensor.finish());
    }
    await assembly.end();
    for (const name of missing) throw unknownTensor(snapshotId, name);
  };

  return {
    readSnapshotTensors: read,

    async readSnapshotTensor(snapshotId, name) {
      const found: SnapshotTensor[] = [];
      await read(snapshotId, [name], async (tensor) => void found.push(tensor));
      return found[0];
    },
  };
}
