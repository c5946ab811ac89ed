import fc from 'fast-check';
import { expect, it } from 'vitest';
import { encodeRows, type Row, RowDecoder } from './copy.js';

function* cutInto(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length];
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

const collect = (bytes: Buffer, sizes: readonly number[]) => {
  const rows: Row[] = [];
  const decoder = new RowDecoder((row) => void rows.push(row));
  // Into one buffer, as a socket that lends does: nothing of a piece may be kept.
  const lent = Buffer.alloc(Math.max(...sizes));
  for (const piece of cutInto(bytes, sizes)) decoder.push(lent.subarray(0, piece.copy(lent)));
  decoder.end();
  return rows;
};

it('reads back any rows, however the stream is cut', () => {
  const fields = fc.array(fc.array(fc.option(fc.uint8Array({ maxLength: 40 })), { minLength: 1, maxLength: 4 }), {
    maxLength: 6,
  });
  const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(fields, sizes, (rows, cuts) => {
      const buffers = rows.map((row) => row.map((field) => field && Buffer.from(field)));
      expect(collect(Buffer.concat([...encodeRows(buffers)]), cuts)).toEqual(buffers);
    }),
  );
});

it('refuses a stream that ends early or is not binary', () => {
  const bytes = Buffer.concat([...encodeRows([[Buffer.from('abc')]])]);
  expect(() => collect(bytes.subarray(0, -4), [7])).toThrow(/ended \d+ bytes early/);
  expect(() => collect(Buffer.from('id,name\n1,two and more'), [7])).toThrow(/binary/);
});
