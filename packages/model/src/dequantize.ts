import { expandBrainFloats, expandHalves, halfAt } from './half.js';
import { unpackQ2K, unpackQ3K, unpackQ4K, unpackQ5K, unpackQ6K, unpackQ8K } from './k-quants.js';

/** A storage format of tensors: `blockBytes` bytes hold `blockValues` values. */
export interface TensorFormat {
  readonly name: string;
  readonly blockValues: number;
  readonly blockBytes: number;
  /**
   * Expands whole blocks from the start of `bytes` into `out` from `at`. `bytes` begins at a multiple of 8 of its buffer;
   * numbers are little-endian, as is every host that this runs on.
   */
  readonly unpack: (bytes: Uint8Array, blocks: number, out: Float32Array, at: number) => void;
}

function unpackF32(bytes: Uint8Array, blocks: number, out: Float32Array, at: number): void {
  out.set(new Float32Array(bytes.buffer, bytes.byteOffset, blocks), at);
}

function unpackF64(bytes: Uint8Array, blocks: number, out: Float32Array, at: number): void {
  out.set(new Float64Array(bytes.buffer, bytes.byteOffset, blocks), at);
}

function unpackF16(bytes: Uint8Array, blocks: number, out: Float32Array, at: number): void {
  expandHalves(new Uint16Array(bytes.buffer, bytes.byteOffset, blocks), out, at);
}

function unpackBF16(bytes: Uint8Array, blocks: number, out: Float32Array, at: number): void {
  expandBrainFloats(new Uint16Array(bytes.buffer, bytes.byteOffset, blocks), out, at);
}

function unpackQ8_0(bytes: Uint8Array, blocks: number, out: Float32Array, at: number): void {
  for (let block = 0, p = 0, o = at; block < blocks; block++, p += 34, o += 32) {
    const scale = halfAt(bytes, p);
    for (let j = 0; j < 32; j++) out[o + j] = scale * ((bytes[p + 2 + j] << 24) >> 24);
  }
}

/** The 4- and 5-bit formats differ in what surrounds the nibbles: a minimum, a fifth bit, or a fixed offset. */
function unpackNibbles(options: { minimum: boolean; fifthBit: boolean }): TensorFormat['unpack'] {
  const { minimum, fifthBit } = options;
  const highAt = minimum ? 4 : 2;
  const nibblesAt = highAt + (fifthBit ? 4 : 0);
  const blockBytes = nibblesAt + 16;
  const offset = minimum ? 0 : fifthBit ? 16 : 8;
  return (bytes, blocks, out, at) => {
    for (let block = 0, p = 0, o = at; block < blocks; block++, p += blockBytes, o += 32) {
      const scale = halfAt(bytes, p);
      // x + −0 is x, also where x is −0.
      const base = minimum ? halfAt(bytes, p + 2) : -0;
      const h = p + highAt;
      const high = fifthBit ? bytes[h] | (bytes[h + 1] << 8) | (bytes[h + 2] << 16) | (bytes[h + 3] << 24) : 0;
      for (let j = 0; j < 16; j++) {
        const pair = bytes[p + nibblesAt + j];
        const low = (pair & 15) | (((high >>> j) & 1) << 4);
        const upper = (pair >> 4) | (((high >>> (j + 16)) & 1) << 4);
        out[o + j] = scale * (low - offset) + base;
        out[o + 16 + j] = scale * (upper - offset) + base;
      }
    }
  };
}

/** The formats of plain numbers, which GGUF and safetensors share. */
export const f32 = format('F32', 1, 4, unpackF32);
export const f16 = format('F16', 1, 2, unpackF16);
export const bf16 = format('BF16', 1, 2, unpackBF16);
/** Rounded to fp32. */
export const f64 = format('F64', 1, 8, unpackF64);

/** Formats of GGUF tensors that this package reads, by the type number of the specification (ggml.h, `ggml_type`). */
export const tensorFormats: ReadonlyMap<number, TensorFormat> = new Map([
  [0, f32],
  [1, f16],
  [2, format('Q4_0', 32, 18, unpackNibbles({ minimum: false, fifthBit: false }))],
  [3, format('Q4_1', 32, 20, unpackNibbles({ minimum: true, fifthBit: false }))],
  [6, format('Q5_0', 32, 22, unpackNibbles({ minimum: false, fifthBit: true }))],
  [7, format('Q5_1', 32, 24, unpackNibbles({ minimum: true, fifthBit: true }))],
  [8, format('Q8_0', 32, 34, unpackQ8_0)],
  [10, format('Q2_K', 256, 84, unpackQ2K)],
  [11, format('Q3_K', 256, 110, unpackQ3K)],
  [12, format('Q4_K', 256, 144, unpackQ4K)],
  [13, format('Q5_K', 256, 176, unpackQ5K)],
  [14, format('Q6_K', 256, 210, unpackQ6K)],
  [15, format('Q8_K', 256, 292, unpackQ8K)],
  [28, f64],
  [30, bf16],
]);

function format(name: string, blockValues: number, blockBytes: number, unpack: TensorFormat['unpack']): TensorFormat {
  return { name, blockValues, blockBytes, unpack };
}
