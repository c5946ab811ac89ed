import { ErrataError, type ExportDtype } from '@errata/contracts';
import { expandBrainFloats, expandHalves, tensorFormats } from '@errata/model';

/** Values of a block of Q8_0, which share a scale (ggml, `QK8_0`). */
const blockValues = 32;
const blockBytes = 34;

/** How numbers are stored in files. */
export interface NumberFormat {
  readonly dtype: ExportDtype;
  /** Name in safetensors; null where that format has no such type. */
  readonly safetensors: string | null;
  /** Number in GGUF (ggml.h, `ggml_type`). */
  readonly ggml: number;
  /** Values that are stored together. */
  readonly blockValues: number;
  readonly blockBytes: number;
  /** Little-endian, rounded to nearest. @throws INVALID_REQUEST for values beyond the format's range */
  encode(values: Float32Array): Uint8Array;
  /** The values that `encode` leaves. */
  decode(bytes: Uint8Array, out: Float32Array): void;
}

const patterns = new Uint32Array(1);
const numbers = new Float32Array(patterns.buffer);

/** Bits of the nearest binary16, ties to even (IEEE 754); beyond 65504 infinity. */
export function halfOf(value: number): number {
  numbers[0] = value;
  const bits = patterns[0];
  const sign = (bits >>> 16) & 0x8000;
  const exponent = (bits >>> 23) & 0xff;
  const fraction = bits & 0x7fffff;
  if (exponent === 0xff) return sign | 0x7c00 | (fraction === 0 ? 0 : 0x200);
  const shifted = exponent - 112;
  if (shifted >= 31) return sign | 0x7c00;
  if (shifted > 0) return sign | roundedShift((shifted << 23) | fraction, 13);
  if (shifted < -10) return sign;
  return sign | roundedShift(fraction | 0x800000, 14 - shifted);
}

/** bits / 2^shift, to nearest, ties to even. */
function roundedShift(bits: number, shift: number): number {
  const kept = bits >>> shift;
  const rest = bits - kept * 2 ** shift;
  const half = 2 ** (shift - 1);
  return rest > half || (rest === half && (kept & 1) === 1) ? kept + 1 : kept;
}

/** Bits of the nearest bfloat16, ties to even. */
export function brainFloatOf(value: number): number {
  numbers[0] = value;
  const bits = patterns[0];
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

function encode16(values: Float32Array, bitsOf: (value: number) => number, infinity: number, name: string): Uint8Array {
  const out = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    out[i] = bitsOf(values[i]);
    if ((out[i] & 0x7fff) === infinity && Number.isFinite(values[i])) throw outOfRange(values[i], name);
  }
  return new Uint8Array(out.buffer);
}

/** As ggml's quantize_row_q8_0_ref: scale = largest magnitude / 127, halves away from zero. */
function encodeQ8(values: Float32Array): Uint8Array {
  const out = new Uint8Array((values.length / blockValues) * blockBytes);
  for (let at = 0, p = 0; at < values.length; at += blockValues, p += blockBytes) {
    let largest = 0;
    for (let i = 0; i < blockValues; i++) largest = Math.max(largest, Math.abs(values[at + i]));
    const scale = Math.fround(largest / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    const half = halfOf(scale);
    if (half === 0x7c00) throw outOfRange(largest, 'q8_0');
    out[p] = half & 0xff;
    out[p + 1] = half >>> 8;
    for (let i = 0; i < blockValues; i++) {
      const x = Math.fround(values[at + i] * inverse);
      out[p + 2 + i] = Math.sign(x) * Math.floor(Math.abs(x) + 0.5);
    }
  }
  return out;
}

function outOfRange(value: number, name: string): ErrataError {
  return new ErrataError(
    'INVALID_REQUEST',
    `a weight of ${value} is beyond the range of ${name}: export as bf16 or fp32`,
  );
}

const q8 = tensorFormats.get(8);

const formats: Readonly<Record<ExportDtype, NumberFormat>> = {
  fp32: {
    dtype: 'fp32',
    safetensors: 'F32',
    ggml: 0,
    blockValues: 1,
    blockBytes: 4,
    encode: (values) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    decode: (bytes, out) => out.set(new Float32Array(bytes.buffer, bytes.byteOffset, out.length)),
  },
  fp16: {
    dtype: 'fp16',
    safetensors: 'F16',
    ggml: 1,
    blockValues: 1,
    blockBytes: 2,
    encode: (values) => encode16(values, halfOf, 0x7c00, 'fp16'),
    decode: (bytes, out) => expandHalves(new Uint16Array(bytes.buffer, bytes.byteOffset, out.length), out, 0),
  },
  bf16: {
    dtype: 'bf16',
    safetensors: 'BF16',
    ggml: 30,
    blockValues: 1,
    blockBytes: 2,
    encode: (values) => encode16(values, brainFloatOf, 0x7f80, 'bf16'),
    decode: (bytes, out) => expandBrainFloats(new Uint16Array(bytes.buffer, bytes.byteOffset, out.length), out, 0),
  },
  q8_0: {
    dtype: 'q8_0',
    safetensors: null,
    ggml: 8,
    blockValues,
    blockBytes,
    encode: encodeQ8,
    decode: (bytes, out) => q8?.unpack(bytes, out.length / blockValues, out, 0),
  },
};

/** The format of a dtype. */
export function numberFormat(dtype: ExportDtype): NumberFormat {
  return formats[dtype];
}

/** Bytes of so many values, which must fill whole blocks. */
export function bytesOf(format: NumberFormat, values: number): number {
  return (values / format.blockValues) * format.blockBytes;
}
