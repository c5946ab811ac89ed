import { halfToNumber } from './half.js';

const blockBytes = 210;
const highBitsAt = 128;
const scalesAt = 192;
const scaleAt = 208;

/**
 * Expands Q6_K blocks: 256 values of 6 bits in two halves of 128; 4 low bits, then 2 high bits, sixteen 8-bit scales
 * and one half-precision scale over all (ggml, `dequantize_row_q6_K`).
 */
export function unpackQ6K(bytes: DataView, blocks: number, out: Float32Array, at: number): void {
  for (let block = 0; block < blocks; block++) {
    const p = block * blockBytes;
    const scale = halfToNumber(bytes.getUint16(p + scaleAt, true));
    for (let half = 0; half < 2; half++) {
      for (let quarter = 0; quarter < 4; quarter++) {
        const lowAt = p + 64 * half + 32 * (quarter & 1);
        const lowShift = quarter < 2 ? 0 : 4;
        const highAt = p + highBitsAt + 32 * half;
        const o = at + 256 * block + 128 * half + 32 * quarter;
        for (let l = 0; l < 32; l++) {
          const low = (bytes.getUint8(lowAt + l) >> lowShift) & 15;
          const high = (bytes.getUint8(highAt + l) >> (2 * quarter)) & 3;
          const groupScale = bytes.getInt8(p + scalesAt + 8 * half + 2 * quarter + (l >> 4));
          out[o + l] = Math.fround(scale * groupScale) * ((low | (high << 4)) - 32);
        }
      }
    }
  }
}
