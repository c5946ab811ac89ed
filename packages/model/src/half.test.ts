import { expect, it } from 'vitest';
import { expandBrainFloats, expandHalves } from './half.js';

const patterns = Uint16Array.from({ length: 65536 }, (_, bits) => bits);

/** Bit patterns of fp32, so that −0 and the payload of NaN count, too. */
const bitsOf = (values: Float32Array): Uint32Array => new Uint32Array(values.buffer, values.byteOffset, values.length);

it('every binary16 has its value', () => {
  const out = new Float32Array(65536);
  expandHalves(patterns, out, 0);
  const wrong = [...patterns].filter((bits) => {
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    const size =
      exponent === 31
        ? fraction === 0
          ? Number.POSITIVE_INFINITY
          : Number.NaN
        : (exponent === 0 ? fraction : fraction + 1024) * 2 ** (Math.max(exponent, 1) - 25);
    return !Object.is(out[bits], bits & 0x8000 ? -size : size);
  });
  expect(wrong).toEqual([]);
});

it('every bfloat16 is the upper half of its fp32', () => {
  const out = new Float32Array(65536);
  expandBrainFloats(patterns, out, 0);
  expect(bitsOf(out).every((bits, i) => bits >>> 0 === (i << 16) >>> 0)).toBe(true);
});

it.each([0, 1, 2, 3, 4, 5])('%i values leave those around them as they are', (count) => {
  for (const expand of [expandHalves, expandBrainFloats]) {
    const out = new Float32Array(8).fill(7);
    expand(new Uint16Array(count), out, 2);
    expect([...out]).toEqual([
      7,
      7,
      ...Array.from({ length: count }, () => 0),
      ...Array.from({ length: 6 - count }, () => 7),
    ]);
  }
});
