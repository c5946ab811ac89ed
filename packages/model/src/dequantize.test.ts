import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { tensorFormats } from './dequantize.js';
import { openGguf, readTensor } from './gguf.js';
import { floats, ggufBytes, temporaryFiles, weightFixture } from './weight-testing.js';

const file = temporaryFiles(afterAll);

const cases: { format: string; type: number; bytes: string; values: string }[] = JSON.parse(
  readFileSync(weightFixture('blocks.json'), 'utf8'),
);

describe('random blocks', () => {
  it.each(cases)('of $format are what the gguf package makes of them', async ({ format, type, bytes, values }) => {
    const wanted = floats(values);
    const data = Buffer.from(bytes, 'base64');
    const path = file(
      'blocks.gguf',
      ggufBytes({ tensors: [{ name: 't', dimensions: [BigInt(wanted.length)], type }], data }),
    );
    const opened = await openGguf(path);
    const tensor = opened.tensors.get('t');
    if (!tensor) throw new Error('no tensor');
    expect(tensor.format.name).toBe(format);
    expect(readTensor(opened, tensor)).toEqual(wanted);
  });

  it('of Q8_K are scale times values', () => {
    const bytes = Buffer.alloc(2 * 292);
    for (let block = 0; block < 2; block++) {
      bytes.writeFloatLE(block + 0.5, 292 * block);
      for (let i = 0; i < 256; i++) bytes.writeInt8(i - 128, 292 * block + 4 + i);
    }
    const out = new Float32Array(513);
    tensorFormats.get(15)?.unpack(new Uint8Array(bytes), 2, out, 1);
    expect([...out]).toEqual([0, ...Array.from({ length: 512 }, (_, i) => (i < 256 ? 0.5 : 1.5) * ((i & 255) - 128))]);
  });

  it('cover every format of blocks', () => {
    const covered = [...cases.map((c) => c.format), 'Q8_K'].sort();
    expect(covered).toEqual(
      [...tensorFormats.values()]
        .filter((f) => f.blockValues > 1)
        .map((f) => f.name)
        .sort(),
    );
  });
});

it('a tensor of many pieces is put together in order', async () => {
  const rows = 700;
  const data = Buffer.alloc(rows * 32 * 34);
  for (let block = 0; block < rows * 32; block++) {
    data.writeUInt16LE(0x3c00, 34 * block);
    data.writeInt8((block % 255) - 127, 34 * block + 2);
  }
  const path = file(
    'long.gguf',
    ggufBytes({ tensors: [{ name: 't', dimensions: [1024n, BigInt(rows)], type: 8 }], data }),
  );
  const opened = await openGguf(path);
  const tensor = opened.tensors.get('t');
  if (!tensor) throw new Error('no tensor');
  expect(tensor.bytes).toBeGreaterThan(700_000);
  const values = readTensor(opened, tensor);
  const firsts = Array.from({ length: rows * 32 }, (_, block) => values[32 * block]);
  expect(firsts).toEqual(firsts.map((_, block) => (block % 255) - 127));
});
