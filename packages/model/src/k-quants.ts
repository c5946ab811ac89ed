import { halfAt } from './half.js';

// The super-blocks of ggml (ggml-quants.c, `dequantize_row_q*_K`): 256 values in groups of 16 or 32, each group with a
// small integer scale (and minimum), the block with a half-precision scale over those. A value is
// scale · group scale · q − minimum · group minimum; the products are exact in fp32, so the order matters nowhere.

const superBlock = 256;

/** Q2_K: sixteen bytes of 4-bit scale and 4-bit minimum, 64 bytes of 2-bit values, scale, minimum. */
export function unpackQ2K(bytes: Uint8Array, blocks: number, out: Float32Array, at: number): void {
  for (let block = 0; block < blocks; block++) {
    const p = 84 * block;
    const scale = halfAt(bytes, p + 80);
    const minimum = halfAt(bytes, p + 82);
    for (let group = 0; group < 16; group++) {
      const packed = bytes[p + group];
      const groupScale = scale * (packed & 15);
      const groupMinimum = minimum * (packed >> 4);
      const { from, shift } = twoBits(p + 16, group);
      const o = at + superBlock * block + 16 * group;
      for (let l = 0; l < 16; l++) out[o + l] = groupScale * ((bytes[from + l] >> shift) & 3) - groupMinimum;
    }
  }
}

/** Q3_K: 32 bytes of third bits (set: nothing to subtract), 64 bytes of 2-bit values, sixteen 6-bit scales, scale. */
export function unpackQ3K(bytes: Uint8Array, blocks: number, out: Float32Array, at: number): void {
  for (let block = 0; block < blocks; block++) {
    const p = 110 * block;
    const scale = halfAt(bytes, p + 108);
    for (let group = 0; group < 16; group++) {
      const low = (bytes[p + 96 + (group & 7)] >> (group < 8 ? 0 : 4)) & 15;
      const high = (bytes[p + 104 + (group & 3)] >> (2 * (group >> 2))) & 3;
      const groupScale = scale * ((low | (high << 4)) - 32);
      const { from, shift } = twoBits(p + 32, group);
      const thirdBits = p + 16 * (group & 1);
      const o = at + superBlock * block + 16 * group;
      for (let l = 0; l < 16; l++) {
        const offset = (bytes[thirdBits + l] >> (group >> 1)) & 1 ? 0 : 4;
        out[o + l] = groupScale * (((bytes[from + l] >> shift) & 3) - offset);
      }
    }
  }
}

/** Q4_K: scale, minimum, eight 6-bit scales and minima in twelve bytes, 128 bytes of nibbles. */
export function unpackQ4K(bytes: Uint8Array, blocks: number, out: Float32Array, at: number): void {
  for (let block = 0; block < blocks; block++) {
    const p = 144 * block;
    const scale = halfAt(bytes, p);
    const minimum = halfAt(bytes, p + 2);
    for (let group = 0; group < 8; group++) {
      const groupScale = scale * sixBitScale(bytes, p + 4, group);
      const groupMinimum = minimum * sixBitMinimum(bytes, p + 4, group);
      const from = p + 16 + 32 * (group >> 1);
      const shift = 4 * (group & 1);
      const o = at + superBlock * block + 32 * group;
      for (let l = 0; l < 32; l++) out[o + l] = groupScale * ((bytes[from + l] >> shift) & 15) - groupMinimum;
    }
  }
}

/** Q5_K: as Q4_K, with 32 bytes of fifth bits between scales and nibbles. */
export function unpackQ5K(bytes: Uint8Array, blocks: number, out: Float32Array, at: number): void {
  for (let block = 0; block < blocks; block++) {
    const p = 176 * block;
    const scale = halfAt(bytes, p);
    const minimum = halfAt(bytes, p + 2);
    for (let group = 0; group < 8; group++) {
      const groupScale = scale * sixBitScale(bytes, p + 4, group);
      const groupMinimum = minimum * sixBitMinimum(bytes, p + 4, group);
      const from = p + 48 + 32 * (group >> 1);
      const shift = 4 * (group & 1);
      const o = at + superBlock * block + 32 * group;
      for (let l = 0; l < 32; l++) {
        const value = ((bytes[from + l] >> shift) & 15) | (((bytes[p + 16 + l] >> group) & 1) << 4);
        out[o + l] = groupScale * value - groupMinimum;
      }
    }
  }
}

/** Q6_K: two halves of 64 bytes of low nibbles and 32 bytes of high bits, sixteen 8-bit scales, scale. */
export function unpackQ6K(bytes: Uint8Array, blocks: number, out: Float32Array, at: number): void {
  for (let block = 0; block < blocks; block++) {
    const p = 210 * block;
    const scale = halfAt(bytes, p + 208);
    for (let group = 0; group < 16; group++) {
      const half = group >> 3;
      const quarter = (group >> 1) & 3;
      const within = 16 * (group & 1);
      const groupScale = scale * ((bytes[p + 192 + group] << 24) >> 24);
      const low = p + 64 * half + 32 * (quarter & 1) + within;
      const lowShift = quarter < 2 ? 0 : 4;
      const high = p + 128 + 32 * half + within;
      const o = at + superBlock * block + 16 * group;
      for (let l = 0; l < 16; l++) {
        const value = ((bytes[low + l] >> lowShift) & 15) | (((bytes[high + l] >> (2 * quarter)) & 3) << 4);
        out[o + l] = groupScale * (value - 32);
      }
    }
  }
}

/** Q8_K: an fp32 scale, 256 bytes, then sums that only products of packed blocks need. */
export function unpackQ8K(bytes: Uint8Array, blocks: number, out: Float32Array, at: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let block = 0; block < blocks; block++) {
    const p = 292 * block;
    const scale = view.getFloat32(p, true);
    const o = at + superBlock * block;
    for (let l = 0; l < superBlock; l++) out[o + l] = scale * ((bytes[p + 4 + l] << 24) >> 24);
  }
}

/** Where the sixteen 2-bit values of a group lie: groups pairwise share 32 bytes, four pairs by shift, two by half. */
function twoBits(valuesAt: number, group: number): { from: number; shift: number } {
  return { from: valuesAt + 32 * (group >> 3) + 16 * (group & 1), shift: 2 * ((group >> 1) & 3) };
}

/** Six bits each of eight scales, then eight minima, in twelve bytes: the upper bits of 4–7 lie above those of 0–3. */
function sixBitScale(bytes: Uint8Array, at: number, group: number): number {
  if (group < 4) return bytes[at + group] & 63;
  return (bytes[at + group + 4] & 15) | ((bytes[at + group - 4] >> 6) << 4);
}

function sixBitMinimum(bytes: Uint8Array, at: number, group: number): number {
  if (group < 4) return bytes[at + group + 4] & 63;
  return (bytes[at + group + 4] >> 4) | ((bytes[at + group] >> 6) << 4);
}
