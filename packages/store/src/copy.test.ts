import fc from 'fast-check';
import { expect, it } from 'vitest';
import { decodeRows, encodeRows } from './copy.js';

async function* cutInto(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length];
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

const collect = async (bytes: Buffer, sizes: readonly number[]) => {
  const rows: (Buffer | null)[][] = [];
  for await (const row of decodeRows(cutInto(bytes, sizes))) rows.push(row);
  return rows;
};

it('reads back any rows, however the stream is cut', async () => {
  const fields = fc.array(fc.array(fc.option(fc.uint8Array({ maxLength: 40 })), { minLength: 1, maxLength: 4 }), {
    maxLength: 6,
  });
  const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(fields, sizes, async (rows, cuts) => {
      const buffers = rows.map((row) => row.map((field) => field && Buffer.from(field)));
      expect(await collect(Buffer.concat([...encodeRows(buffers)]), cuts)).toEqual(buffers);
    }),
  );
});

it('refuses a stream that ends early or is not binary', async () => {
  const bytes = Buffer.concat([...encodeRows([[Buffer.from('abc')]])]);
  await expect(collect(bytes.subarray(0, -4), [7])).rejects.toThrow(/ended \d+ bytes early/);
  await expect(collect(Buffer.from('id,name\n1,two and more'), [7])).rejects.toThrow(/binary/);
});
