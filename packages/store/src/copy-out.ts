import type { Duplex } from 'node:stream';
import type pg from 'pg';
import { type Row, RowDecoder, type SinkOf } from './copy.js';
import { LendingSocket } from './lending-socket.js';

/** A message of the server: a code, then its length without the code (PostgreSQL manual, "Message Formats"). */
const HEADER_BYTES = 5;
const COPY_DATA = 'd'.charCodeAt(0);
/** CommandComplete of statements before the COPY, CopyOutResponse, NoticeResponse, ParameterStatus, NotificationResponse. */
const PASSED_OVER = new Set([...'CHNSA'].map((code) => code.charCodeAt(0)));
/** Rows that wait for their reader before the server is made to wait. */
const HELD_BYTES = 4 * 1024 * 1024;
/** What a row takes beside its fields, about: there may be a million of them. */
const ROW_BYTES = 512;

/** How rows are read: both are called in the order of the stream, `rowOf` for each row before `sinkOf` for the next. */
export interface RowReader<Item> {
  readonly sinkOf?: SinkOf;
  rowOf(row: Row): Item;
}

/** A query for pg whose data goes past its parser and the streams of Node. */
class CopyOut implements pg.Submittable {
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #filled = 0;
  /** Of the message. */
  #missing = 0;
  #stream: Duplex | undefined;
  #parser: ((chunk: Buffer) => void) | undefined;

  /**
   * @param take gets the data piece by piece, each of which may change after the call; returns whether to go on
   * @param end is told once, of the error if there was one
   */
  constructor(
    private readonly text: string,
    private readonly take: (piece: Buffer) => boolean,
    private readonly end: (error: Error | null) => void,
  ) {}

  submit(connection: pg.Connection): void {
    const { stream } = connection;
    this.#stream = stream;
    // pg's parser listens, and nobody else does.
    const [parser] = stream.listeners('data') as ((chunk: Buffer) => void)[];
    this.#parser = parser;
    stream.on('data', this.#receive);
    stream.off('data', parser);
    if (stream instanceof LendingSocket) stream.lends = true;
    connection.query(this.text);
  }

  resume(): void {
    if (this.#stream?.isPaused()) this.#stream.resume();
  }

  handleError(error: Error): void {
    this.#giveBack();
    this.end(error);
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.end(null);
  }

  readonly #receive = (chunk: Buffer): void => {
    let more = true;
    for (let at = 0; at < chunk.length; ) {
      if (this.#missing > 0) {
        const content = chunk.subarray(at, at + this.#missing);
        at += content.length;
        this.#missing -= content.length;
        if (this.#header[0] === COPY_DATA) more = this.take(content);
        continue;
      }
      const read = chunk.copy(this.#header, this.#filled, at, at + HEADER_BYTES - this.#filled);
      at += read;
      this.#filled += read;
      if (this.#filled < HEADER_BYTES) break;
      this.#filled = 0;
      if (this.#header[0] !== COPY_DATA && !PASSED_OVER.has(this.#header[0])) {
        // The end, or an error: pg knows what to make of it.
        this.#giveBack()?.(Buffer.concat([this.#header, chunk.subarray(at)]));
        return;
      }
      this.#missing = this.#header.readInt32BE(1) - (HEADER_BYTES - 1);
    }
    if (!more) this.#stream?.pause();
  };

  #giveBack(): ((chunk: Buffer) => void) | undefined {
    const [stream, parser] = [this.#stream, this.#parser];
    this.#stream = undefined;
    if (stream === undefined || parser === undefined) return undefined;
    if (stream instanceof LendingSocket) stream.lends = false;
    stream.on('data', parser);
    stream.off('data', this.#receive);
    if (stream.isPaused()) stream.resume();
    return parser;
  }
}

/** The rows of a COPY … TO STDOUT (FORMAT binary), which statements without rows may come before, read as they come in. @throws what the reader throws, after the rows before */
export async function* copyRowsOut<Item>(
  client: pg.ClientBase,
  text: string,
  { sinkOf, rowOf }: RowReader<Item>,
): AsyncGenerator<Item> {
  const ready: Item[] = [];
  let held = 0;
  let ended = false;
  let failure: { readonly error: unknown } | null = null;
  let wake = () => {};
  const decoder = new RowDecoder((row, bytes) => {
    ready.push(rowOf(row));
    held += ROW_BYTES + bytes;
  }, sinkOf);
  const copy = new CopyOut(
    text,
    (piece) => {
      try {
        if (failure === null) decoder.push(piece);
      } catch (error) {
        failure = { error };
      }
      if (ready.length > 0 || failure !== null) wake();
      return held < HELD_BYTES;
    },
    (error) => {
      ended = true;
      if (error !== null) failure ??= { error };
      wake();
    },
  );
  client.query(copy);
  for (;;) {
    const rows = ready.splice(0);
    held = 0;
    copy.resume();
    yield* rows;
    if (ready.length > 0) continue;
    if (failure !== null) throw (failure as { readonly error: unknown }).error;
    if (ended) break;
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
  decoder.end();
}
