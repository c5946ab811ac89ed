import { halfToNumber } from './half.js';
import { unpackQ6K } from './k-quants.js';

/** A storage format of GGUF tensors: `blockBytes` bytes hold `blockValues` values. */
export interface TensorFormat {
  readonly name: string;
  readonly blockValues: number;
  readonly blockBytes: number;
  /** Expands whole blocks from the start of `bytes` into `out` from `at`. */
  readonly unpack: (bytes: DataView, blocks: number, out: Float32Array, at: number) => void;
}

function unpackF32(bytes: DataView, blocks: number, out: Float32Array, at: number): void {
  for (let i = 0; i < blocks; i++) out[at + i] = bytes.getFloat32(4 * i, true);
}

function unpackF16(bytes: DataView, blocks: number, out: Float32Array, at: number): void {
  for (let i = 0; i < blocks; i++) out[at + i] = halfToNumber(bytes.getUint16(2 * i, true));
}

function unpackBF16(bytes: DataView, blocks: number, out: Float32Array, at: number): void {
  const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < blocks; i++) bits[at + i] = bytes.getUint16(2 * i, true) << 16;
}

function unpackQ8_0(bytes: DataView, blocks: number, out: Float32Array, at: number): void {
  for (let block = 0, p = 0, o = at; block < blocks; block++, p += 34, o += 32) {
    const scale = halfToNumber(bytes.getUint16(p, true));
    for (let j = 0; j < 32; j++) out[o + j] = scale * bytes.getInt8(p + 2 + j);
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
      const scale = halfToNumber(bytes.getUint16(p, true));
      const base = minimum ? halfToNumber(bytes.getUint16(p + 2, true)) : 0;
      const high = fifthBit ? bytes.getUint32(p + highAt, true) : 0;
      for (let j = 0; j < 16; j++) {
        const pair = bytes.getUint8(p + nibblesAt + j);
        const low = (pair & 15) | (((high >>> j) & 1) << 4);
        const upper = (pair >> 4) | (((high >>> (j + 16)) & 1) << 4);
        out[o + j] = scale * (low - offset) + base;
        out[o + 16 + j] = scale * (upper - offset) + base;
      }
    }
  };
}

/** Formats this package reads, by the type number of the GGUF specification (ggml.h, `ggml_type`). */
export const tensorFormats: ReadonlyMap<number, TensorFormat> = new Map([
  [0, { name: 'F32', blockValues: 1, blockBytes: 4, unpack: unpackF32 }],
  [1, { name: 'F16', blockValues: 1, blockBytes: 2, unpack: unpackF16 }],
  [2, format('Q4_0', 18, unpackNibbles({ minimum: false, fifthBit: false }))],
  [3, format('Q4_1', 20, unpackNibbles({ minimum: true, fifthBit: false }))],
  [6, format('Q5_0', 22, unpackNibbles({ minimum: false, fifthBit: true }))],
  [7, format('Q5_1', 24, unpackNibbles({ minimum: true, fifthBit: true }))],
  [8, format('Q8_0', 34, unpackQ8_0)],
  [14, { name: 'Q6_K', blockValues: 256, blockBytes: 210, unpack: unpackQ6K }],
  [30, { name: 'BF16', blockValues: 1, blockBytes: 2, unpack: unpackBF16 }],
]);

function format(name: string, blockBytes: number, unpack: TensorFormat['unpack']): TensorFormat {
  return { name, blockValues: 32, blockBytes, unpack };
}
