/**
 * Postgres' binary COPY format (PostgreSQL manual, "COPY", section "Binary Format"): a signature, then rows of
 * length-prefixed fields, then −1.
 */
const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');
const NULL_LENGTH = -1;
const END_OF_ROWS = -1;

/** A field of a row to be written; text is sent as UTF-8, null as NULL, parts one behind the other. */
export type CopyField =
  | null
  | Buffer
  | string
  | { readonly parts: readonly Buffer[] }
  | { readonly int2: number }
  | { readonly int4: number }
  | { readonly json: unknown };

function fieldParts(field: NonNullable<CopyField>): readonly Buffer[] {
  return typeof field === 'object' && 'parts' in field ? field.parts : [fieldBytes(field)];
}

function fieldBytes(field: Exclude<CopyField, null | { readonly parts: readonly Buffer[] }>): Buffer {
  if (Buffer.isBuffer(field)) return field;
  if (typeof field === 'string') return Buffer.from(field, 'utf8');
  if ('int2' in field) {
    const bytes = Buffer.alloc(2);
    bytes.writeInt16BE(field.int2);
    return bytes;
  }
  if ('int4' in field) {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32BE(field.int4);
    return bytes;
  }
  // jsonb is sent as its version, 1, and the text.
  return Buffer.from(`\u0001${JSON.stringify(field.json)}`, 'utf8');
}

function int(value: number, size: 2 | 4): Buffer {
  const bytes = Buffer.alloc(size);
  bytes.writeIntBE(value, 0, size);
  return bytes;
}

/** The bytes of a COPY … FROM STDIN (FORMAT binary), piece by piece. Large fields are passed on, not copied. */
export function* encodeRows(rows: Iterable<readonly CopyField[]>): Generator<Buffer> {
  yield Buffer.concat([SIGNATURE, int(0, 4), int(0, 4)]);
  for (const row of rows) {
    yield int(row.length, 2);
    for (const field of row) {
      if (field === null) {
        yield int(NULL_LENGTH, 4);
        continue;
      }
      const parts = fieldParts(field);
      yield int(
        parts.reduce((sum, part) => sum + part.length, 0),
        4,
      );
      yield* parts;
    }
  }
  yield int(END_OF_ROWS, 2);
}

/** Takes a field as it comes in, piece by piece. */
export type FieldSink = (piece: Buffer) => void;
/** Chooses where a field goes by the fields before it in its row and its length; null for into the row. */
export type SinkOf = (before: readonly (Buffer | null)[], length: number) => FieldSink | null;

/** Reads exact numbers of bytes from a stream of chunks, joining only what is asked for. */
class ByteReader {
  private chunk: Buffer | null = null;
  private offset = 0;

  constructor(private readonly source: AsyncIterator<Buffer>) {}

  async take(size: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    await this.pass(size, (part) => void parts.push(part));
    return parts.length === 1 ? parts[0] : Buffer.concat(parts, size);
  }

  async pass(size: number, sink: FieldSink): Promise<void> {
    for (let missing = size; missing > 0; ) {
      if (this.chunk === null) {
        const next = await this.source.next();
        if (next.done) throw new Error(`COPY ended ${missing} bytes early`);
        this.chunk = next.value;
        this.offset = 0;
      }
      const part = this.chunk.subarray(this.offset, this.offset + missing);
      missing -= part.length;
      this.offset += part.length;
      if (this.offset === this.chunk.length) this.chunk = null;
      sink(part);
    }
  }

  async drain(): Promise<void> {
    while (!(await this.source.next()).done);
  }
}

/**
 * The rows of a COPY … TO STDOUT (FORMAT binary): each field as its bytes, null where it is NULL. A field that went to a
 * sink is empty.
 */
export async function* decodeRows(
  source: AsyncIterator<Buffer>,
  sinkOf: SinkOf = () => null,
): AsyncGenerator<(Buffer | null)[]> {
  const reader = new ByteReader(source);
  const signature = await reader.take(SIGNATURE.length);
  if (!signature.equals(SIGNATURE)) throw new Error('COPY did not answer in binary format');
  await reader.take(4);
  await reader.take((await reader.take(4)).readInt32BE());
  for (;;) {
    const fields = (await reader.take(2)).readInt16BE();
    if (fields === END_OF_ROWS) break;
    const row: (Buffer | null)[] = [];
    for (let i = 0; i < fields; i++) {
      const length = (await reader.take(4)).readInt32BE();
      const sink = length === NULL_LENGTH ? null : sinkOf(row, length);
      if (sink !== null) await reader.pass(length, sink);
      row.push(length === NULL_LENGTH ? null : await reader.take(sink === null ? length : 0));
    }
    yield row;
  }
  await reader.drain();
}
