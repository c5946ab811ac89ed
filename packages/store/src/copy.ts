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

/** Takes a field as it comes in, piece by piece; a piece may change after the call. */
export type FieldSink = (piece: Buffer) => void;
/** Chooses where a field goes by the fields before it in its row and its length; null for into the row. */
export type SinkOf = (before: readonly (Buffer | null)[], length: number) => FieldSink | null;
/** The fields of a row, null where one is NULL. One that went to a sink is empty. */
export type Row = readonly (Buffer | null)[];

const NO_SINK: SinkOf = () => null;
const IGNORE = () => undefined;

/** The rows of a COPY … TO STDOUT (FORMAT binary), out of its bytes as they come in. */
export class RowDecoder {
  readonly #word = Buffer.alloc(SIGNATURE.length);
  #row: (Buffer | null)[] = [];
  /** Of the row. */
  #fields = 0;
  #bytes = 0;
  /** Of what is being read, where it goes and what is done then. */
  #missing = 0;
  #sink: FieldSink = IGNORE;
  #then: () => void = IGNORE;
  #ended = false;

  /** @param onRow is told of every row when it is whole, with the bytes of its fields, before the next one begins */
  constructor(
    private readonly onRow: (row: Row, bytes: number) => void,
    private readonly sinkOf: SinkOf = NO_SINK,
  ) {
    this.#expect(SIGNATURE.length, this.#begin);
  }

  /** @param chunk may change after the call @throws Error the bytes are no such stream */
  push(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      const part = chunk.subarray(at, at + this.#missing);
      at += part.length;
      this.#missing -= part.length;
      this.#sink(part);
      while (this.#missing === 0) this.#then();
    }
  }

  /** @throws Error rows are missing */
  end(): void {
    if (!this.#ended) throw new Error(`COPY ended ${this.#missing} bytes early`);
  }

  #take(length: number, sink: FieldSink, then: () => void): void {
    this.#missing = length;
    this.#sink = sink;
    this.#then = then;
  }

  #fill(into: Buffer, then: () => void): void {
    let at = 0;
    const sink: FieldSink = (piece) => {
      at += piece.copy(into, at);
    };
    this.#take(into.length, sink, then);
  }

  #expect(size: number, then: (word: Buffer) => void): void {
    this.#fill(this.#word.subarray(0, size), () => then(this.#word));
  }

  readonly #begin = (word: Buffer): void => {
    if (!word.equals(SIGNATURE)) throw new Error('COPY did not answer in binary format');
    this.#expect(8, (flags) => this.#take(flags.readInt32BE(4), IGNORE, () => this.#expect(2, this.#count)));
  };

  readonly #count = (word: Buffer): void => {
    this.#fields = word.readInt16BE();
    this.#row = [];
    this.#bytes = 0;
    this.#ended = this.#fields === END_OF_ROWS;
    if (this.#ended) this.#take(Number.POSITIVE_INFINITY, IGNORE, IGNORE);
    else this.#next();
  };

  #next(): void {
    if (this.#row.length < this.#fields) {
      this.#expect(4, this.#field);
      return;
    }
    this.onRow(this.#row, this.#bytes);
    this.#expect(2, this.#count);
  }

  readonly #field = (word: Buffer): void => {
    const length = word.readInt32BE();
    if (length === NULL_LENGTH) {
      this.#row.push(null);
      this.#next();
      return;
    }
    this.#bytes += length;
    const sink = this.sinkOf(this.#row, length);
    const field = Buffer.allocUnsafe(sink === null ? length : 0);
    const then = () => {
      this.#row.push(field);
      this.#next();
    };
    if (sink === null) this.#fill(field, then);
    else this.#take(length, sink, then);
  };
}
