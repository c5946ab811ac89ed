import { readSync } from 'node:fs';
import { ModelError } from './errors.js';

/** Bytes of the file read at a time. */
const chunkBytes = 256 * 1024;

/**
 * Reads little-endian values one after the other from the start of an open file, up to byte `limit`. Nothing is
 * allocated before it is known that the file holds as many bytes.
 */
export class GgufReader {
  readonly #file: { readonly handle: number; readonly path: string; readonly size: number; readonly limit: number };
  #chunk = new DataView(new ArrayBuffer(0));
  #chunkStart = 0;
  #at = 0;

  /** `size`: of the file, in bytes. */
  constructor(file: { handle: number; path: string; size: number; limit: number }) {
    this.#file = { ...file, limit: Math.min(file.limit, file.size) };
  }

  /** From the start of the file, in bytes. */
  get position(): number {
    return this.#chunkStart + this.#at;
  }

  /** @throws ModelError FILE_TRUNCATED, FILE_MALFORMED unless `count` items of `itemBytes` bytes or more can follow */
  expect(count: number | bigint, itemBytes: number, what: string): void {
    const { path, size, limit } = this.#file;
    if (Number(count) * itemBytes <= limit - this.position) return;
    const where = `${path}: ${what} at byte ${this.position} announces ${count}`;
    throw limit < size
      ? new ModelError(
          'FILE_MALFORMED',
          `${where}, so that the header would go beyond the ${limit} bytes that are read`,
        )
      : new ModelError(
          'FILE_TRUNCATED',
          `${where}, but only ${size - this.position} bytes follow; the file is cut short or damaged: download it again`,
        );
  }

  uint32(): number {
    return this.value(4, (view, at) => view.getUint32(at, true));
  }

  uint64(): bigint {
    return this.value(8, (view, at) => view.getBigUint64(at, true));
  }

  /** UTF-8 after its length; what is not UTF-8 becomes U+FFFD, as some vocabularies hold parts of characters. */
  string(maxBytes: number, what: string): string {
    const length = this.uint64();
    if (length > maxBytes)
      throw new ModelError(
        'FILE_MALFORMED',
        `${this.#file.path}: ${what} has ${length} bytes; at most ${maxBytes} are read`,
      );
    this.expect(length, 1, what);
    const bytes = Number(length);
    return this.value(bytes, (view, at) => Buffer.from(view.buffer, at, bytes).toString('utf8'));
  }

  /** What `get` makes of the next `bytes` bytes, which begin at `at` of `view`. */
  value<T>(bytes: number, get: (view: DataView<ArrayBuffer>, at: number) => T): T {
    if (this.#at + bytes > this.#chunk.byteLength) this.#refill(bytes);
    const at = this.#at;
    this.#at += bytes;
    return get(this.#chunk, at);
  }

  #refill(bytes: number): void {
    this.expect(bytes, 1, 'the header');
    const { handle, path, limit } = this.#file;
    const start = this.position;
    const chunk = new Uint8Array(Math.min(limit - start, Math.max(chunkBytes, bytes)));
    for (let filled = 0; filled < chunk.length; ) {
      const read = readSync(handle, chunk, filled, chunk.length - filled, start + filled);
      if (read === 0)
        throw new ModelError('FILE_TRUNCATED', `${path} shrank to ${start + filled} bytes while it was read`);
      filled += read;
    }
    this.#chunk = new DataView(chunk.buffer);
    this.#chunkStart = start;
    this.#at = 0;
  }
}
