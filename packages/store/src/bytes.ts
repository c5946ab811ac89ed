import { endianness } from 'node:os';
import { ErrataError } from '@errata/contracts';
import type { Matrix } from './types.js';

const BIG_ENDIAN = endianness() === 'BE';

/** Little-endian fp32 bytes of an array; a view of it where the machine is little-endian. */
export function float32Bytes(values: Float32Array): Buffer {
  const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  return BIG_ENDIAN ? Buffer.from(bytes).swap32() : bytes;
}

/** The array behind little-endian fp32 bytes, in memory of its own. */
export function float32Array(bytes: Buffer): Float32Array {
  const values = new Float32Array(bytes.length / 4);
  const target = Buffer.from(values.buffer);
  bytes.copy(target);
  if (BIG_ENDIAN) target.swap32();
  return values;
}

/** Little-endian fp64 bytes of an array; a view of it where the machine is little-endian. */
export function float64ArrayBytes(values: Float64Array): Buffer {
  const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  return BIG_ENDIAN ? Buffer.from(bytes).swap64() : bytes;
}

/** The array behind little-endian fp64 bytes, in memory of its own. */
export function float64Array(bytes: Buffer): Float64Array {
  const values = new Float64Array(bytes.length / 8);
  const target = Buffer.from(values.buffer);
  bytes.copy(target);
  if (BIG_ENDIAN) target.swap64();
  return values;
}

/** An array whose memory was filled with little-endian bytes. */
export function inHostOrder<Values extends Float32Array | Float64Array>(values: Values): Values {
  const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  if (BIG_ENDIAN) values instanceof Float32Array ? bytes.swap32() : bytes.swap64();
  return values;
}

/** Little-endian fp64 bytes. */
export function float64Bytes(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 8);
  for (const [index, value] of values.entries()) bytes.writeDoubleLE(value, index * 8);
  return bytes;
}

/** The numbers behind little-endian fp64 bytes. */
export function float64Numbers(bytes: Buffer): number[] {
  return Array.from({ length: bytes.length / 8 }, (_, index) => bytes.readDoubleLE(index * 8));
}

/** @throws ErrataError INVALID_TENSOR when the data does not fill the shape */
export function assertMatrix(matrix: Matrix, name: string): void {
  const { rows, columns, data } = matrix;
  const whole = Number.isSafeInteger(rows) && Number.isSafeInteger(columns) && rows > 0 && columns > 0;
  if (!whole || data.length !== rows * columns)
    throw new ErrataError(
      'INVALID_TENSOR',
      `${name}: ${data.length} numbers do not make a ${rows} × ${columns} matrix`,
    );
}
