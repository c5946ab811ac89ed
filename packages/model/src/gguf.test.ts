import { createHash } from 'node:crypto';
import { openSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ModelError } from './errors.js';
import { openGguf, readTensor } from './gguf.js';
import { fixture, testModelPath } from './testing.js';
import { temporaryFolders } from './weight-testing.js';

const folder = temporaryFolders(afterAll)();

function file(name: string, bytes: Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => null,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(ModelError);
  return (error as ModelError).code;
}

/** A GGUF file with one tensor of the given shape (fastest dimension first) and no metadata. */
function oneTensor(type: number, dims: bigint[], offset: bigint, data: Buffer): Buffer {
  const head = Buffer.alloc(24);
  head.write('GGUF', 0, 'latin1');
  head.writeUInt32LE(3, 4);
  head.writeBigUInt64LE(1n, 8);
  const info = Buffer.alloc(8 + 1 + 4 + 8 * dims.length + 4 + 8);
  info.writeBigUInt64LE(1n, 0);
  info.write('t', 8, 'latin1');
  info.writeUInt32LE(dims.length, 9);
  dims.forEach((d, i) => {
    info.writeBigUInt64LE(d, 13 + 8 * i);
  });
  info.writeUInt32LE(type, 13 + 8 * dims.length);
  info.writeBigUInt64LE(offset, 17 + 8 * dims.length);
  const used = head.length + info.length;
  return Buffer.concat([head, info, Buffer.alloc(Math.ceil(used / 32) * 32 - used), data]);
}

describe('hostile files', () => {
  it('names a missing file', async () => {
    expect(await codeOf(openGguf(join(folder, 'none.gguf')))).toBe('FILE_NOT_FOUND');
  });

  it('refuses what is not GGUF, and an empty file', async () => {
    expect(await codeOf(openGguf(file('text.gguf', Buffer.from('hello world, this is text'))))).toBe('FILE_MALFORMED');
    expect(await codeOf(openGguf(file('empty.gguf', Buffer.alloc(0))))).toBe('FILE_MALFORMED');
  });

  it('refuses tensors that reach past the end, overflow or have an unknown type', async () => {
    const data = Buffer.alloc(64);
    expect(await codeOf(openGguf(file('long.gguf', oneTensor(0, [17n], 0n, data))))).toBe('FILE_TRUNCATED');
    expect(await codeOf(openGguf(file('far.gguf', oneTensor(0, [16n], 1n << 60n, data))))).toBe('FILE_TRUNCATED');
    expect(await codeOf(openGguf(file('big.gguf', oneTensor(0, [1n << 40n, 1n << 40n], 0n, data))))).toBe(
      'FILE_MALFORMED',
    );
    expect(await codeOf(openGguf(file('wide.gguf', oneTensor(0, [1n << 31n, 1n << 31n], 0n, data))))).toBe(
      'FILE_MALFORMED',
    );
    expect(await codeOf(openGguf(file('type.gguf', oneTensor(99, [16n], 0n, data))))).toBe('UNSUPPORTED_FORMAT');
    expect(await codeOf(openGguf(file('row.gguf', oneTensor(8, [16n], 0n, data))))).toBe('FILE_MALFORMED');
  });

  it.skipIf(testModelPath === '')('refuses a real file cut short', async () => {
    const head = Buffer.alloc(3_000_000);
    readSync(openSync(testModelPath, 'r'), head, 0, head.length, 0);
    expect(await codeOf(openGguf(file('cut.gguf', head)))).toBe('FILE_TRUNCATED');
    expect(['FILE_MALFORMED', 'FILE_TRUNCATED']).toContain(
      await codeOf(openGguf(file('header.gguf', head.subarray(0, 900_000)))),
    );
  });
});

describe('small tensors of each format', () => {
  const half = (value: number): number => ({ 1: 0x3c00, 0.5: 0x3800, 2: 0x4000, '-1': 0xbc00 })[value] as number;
  const u16 = (...values: number[]): Buffer => {
    const out = Buffer.alloc(2 * values.length);
    values.forEach((v, i) => {
      out.writeUInt16LE(v, 2 * i);
    });
    return out;
  };
  const read = async (type: number, values: number, data: Buffer): Promise<number[]> => {
    const opened = await openGguf(file(`f${type}.gguf`, oneTensor(type, [BigInt(values)], 0n, data)));
    const tensor = opened.tensors.get('t');
    if (!tensor) throw new Error('no tensor');
    return [...readTensor(opened, tensor)];
  };
  const nibbles = Buffer.from(Array.from({ length: 16 }, (_, j) => j | ((15 - j) << 4)));
  const up = Array.from({ length: 16 }, (_, j) => j);
  const down = up.map((j) => 15 - j);

  it('F16 and BF16', async () => {
    expect(await read(1, 3, u16(half(1), half(-1), half(0.5)))).toEqual([1, -1, 0.5]);
    expect(await read(30, 3, u16(0x3f80, 0xc000, 0x3e80))).toEqual([1, -2, 0.25]);
  });

  it('4-bit and 5-bit blocks', async () => {
    const all = [...up, ...down];
    expect(await read(2, 32, Buffer.concat([u16(half(2)), nibbles]))).toEqual(all.map((q) => 2 * (q - 8)));
    expect(await read(3, 32, Buffer.concat([u16(half(2), half(0.5)), nibbles]))).toEqual(all.map((q) => 2 * q + 0.5));
    const high = Buffer.from([0xff, 0xff, 0x00, 0x00]);
    const five = [...up.map((q) => q + 16), ...down];
    expect(await read(6, 32, Buffer.concat([u16(half(1)), high, nibbles]))).toEqual(five.map((q) => q - 16));
    expect(await read(7, 32, Buffer.concat([u16(half(1), half(-1)), high, nibbles]))).toEqual(five.map((q) => q - 1));
  });

  it('Q8_0 and Q6_K', async () => {
    const bytes = Buffer.from(Int8Array.from({ length: 32 }, (_, i) => i - 16).buffer);
    expect(await read(8, 32, Buffer.concat([u16(half(0.5)), bytes]))).toEqual(
      Array.from({ length: 32 }, (_, i) => 0.5 * (i - 16)),
    );
    const scales = Buffer.from(Int8Array.from({ length: 16 }, (_, i) => i + 1).buffer);
    const q6 = await read(
      14,
      256,
      Buffer.concat([Buffer.alloc(128, 0x21), Buffer.alloc(64, 0b11_10_01_00), scales, u16(half(1))]),
    );
    // value 1 or 2 in the low bits, 0–3 in the high bits by quarter, scales by sixteen
    expect([q6[0], q6[16], q6[32], q6[64], q6[96], q6[128], q6[255]]).toEqual([
      -31,
      -31 * 2,
      3 * (17 - 32),
      5 * (34 - 32),
      7 * (50 - 32),
      9 * -31,
      16 * 18,
    ]);
  });
});

interface DequantCase {
  type: string;
  shape_rowmajor: number[];
  first8: number[];
  last4: number[];
  sha256_f32le: string;
}

describe.skipIf(testModelPath === '')('tensors of SmolLM2', () => {
  it('are the bytes of the fixture', async () => {
    const opened = await openGguf(testModelPath);
    for (const [name, wanted] of Object.entries(fixture<Record<string, DequantCase>>('gguf_dequant.json'))) {
      const tensor = opened.tensors.get(name);
      if (!tensor) throw new Error(`no tensor ${name}`);
      expect(tensor.format.name).toBe(wanted.type);
      expect(tensor.shape).toEqual(wanted.shape_rowmajor);
      const values = readTensor(opened, tensor);
      expect([...values.subarray(0, 8)]).toEqual(wanted.first8);
      expect([...values.subarray(-4)]).toEqual(wanted.last4);
      expect(createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex')).toBe(wanted.sha256_f32le);
    }
  });
});
