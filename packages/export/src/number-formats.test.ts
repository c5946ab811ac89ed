import { expandBrainFloats, expandHalves } from '@errata/model';
import { describe, expect, it } from 'vitest';
import { brainFloatOf, halfOf, numberFormat } from './number-formats.js';
import { randoms } from './testing/edited.js';

const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits);

describe.each([
  ['binary16', halfOf, expandHalves, 0x7c00],
  ['bfloat16', brainFloatOf, expandBrainFloats, 0x7f80],
] as const)('%s', (_name, bitsOf, expand, infinity) => {
  const values = new Float32Array(65536);
  expand(all, values, 0);

  it('keeps every number it can hold', () => {
    expect(all.filter((bits) => !Number.isNaN(values[bits]) && bitsOf(values[bits]) !== bits)).toEqual(
      new Uint16Array(),
    );
    expect(bitsOf(Number.NaN) & 0x7fff).toBeGreaterThan(infinity);
  });

  it('rounds to the nearest, ties to even', () => {
    const wrong: number[] = [];
    for (let bits = 1; bits < infinity - 1; bits++) {
      const between = (values[bits] + values[bits + 1]) / 2;
      if (bitsOf(between) !== (bits % 2 === 0 ? bits : bits + 1)) wrong.push(bits);
      const above = Math.fround(between * (1 + 2 ** -22));
      if (above > between && bitsOf(above) !== bits + 1) wrong.push(bits);
    }
    expect(wrong).toEqual([]);
  });
});

describe('formats', () => {
  it.each(['fp32', 'fp16', 'bf16', 'q8_0'] as const)('%s decodes to values that encode to the same bytes', (dtype) => {
    const format = numberFormat(dtype);
    const values = Float32Array.from(randoms(256, 5));
    const bytes = format.encode(values);
    expect(bytes.length).toBe((256 / format.blockValues) * format.blockBytes);
    const decoded = new Float32Array(256);
    format.decode(bytes, decoded);
    expect(format.encode(decoded)).toEqual(bytes);
    for (let i = 0; i < 256; i++) expect(Math.abs(decoded[i] - values[i])).toBeLessThan(0.005);
  });

  it('refuses what fp16 cannot hold, with the way out', () => {
    expect(() => numberFormat('fp16').encode(Float32Array.of(1, 70_000))).toThrow('export as bf16 or fp32');
    expect([...numberFormat('fp16').encode(Float32Array.of(Number.POSITIVE_INFINITY))]).toEqual([0, 0x7c]);
  });
});
