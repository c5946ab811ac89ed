import { endianness } from 'node:os';
import { ErrataError } from '@errata/contracts';
import type { Tensor, TensorChunk } from './generated/errata/v1/tensor.js';

/** A column-major fp32 matrix: element (i, j) is `data[j * rows + i]`. */
export interface DenseMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float32Array;
}

/** Bytes of one message of a chunked tensor: well under the 4 MB receive limit that gRPC has by default. */
export const chunkBytes = 1 << 20;

if (endianness() !== 'LE')
  throw new Error('errata needs a little-endian machine: tensors travel as they lie in memory');

/** The message of a matrix; shares its memory. @throws INVALID_TENSOR when shape and length disagree */
export function encodeTensor(matrix: DenseMatrix): Tensor {
  checkLength('tensor', matrix.rows, matrix.columns, matrix.data.byteLength);
  return { rows: matrix.rows, columns: matrix.columns, data: bytesOf(matrix.data) };
}

/** The matrix of a message. @throws INVALID_TENSOR naming the field when it is absent or its length is not rows × columns × 4 */
export function decodeTensor(tensor: Tensor | undefined, field: string): DenseMatrix {
  if (!tensor) throw new ErrataError('INVALID_TENSOR', `${field} is missing`);
  checkLength(field, tensor.rows, tensor.columns, tensor.data.byteLength);
  return { rows: tensor.rows, columns: tensor.columns, data: floatsOf(tensor.data) };
}

/** Cuts a matrix into messages of at most {@link chunkBytes}. */
export function* tensorChunks(layer: number, matrix: DenseMatrix): Generator<TensorChunk> {
  const bytes = bytesOf(matrix.data);
  for (let offset = 0; offset < bytes.length; offset += chunkBytes) {
    const data = bytes.subarray(offset, offset + chunkBytes);
    yield { layer, rows: matrix.rows, columns: matrix.columns, offset, data };
  }
}

/** Puts chunks back together. Throws INVALID_TENSOR on a gap, an overlap or a changed shape. */
export class TensorAssembler {
  private readonly bytes: Buffer;
  private filled = 0;

  constructor(private readonly first: Pick<TensorChunk, 'layer' | 'rows' | 'columns'>) {
    this.bytes = Buffer.from(new ArrayBuffer(first.rows * first.columns * 4));
  }

  add(chunk: TensorChunk): void {
    const { layer, rows, columns } = this.first;
    if (chunk.layer !== layer || chunk.rows !== rows || chunk.columns !== columns || chunk.offset !== this.filled)
      throw new ErrataError(
        'INVALID_TENSOR',
        `chunk at byte ${chunk.offset} of layer ${chunk.layer} does not follow byte ${this.filled} of layer ${layer}`,
      );
    if (this.filled + chunk.data.length > this.bytes.length)
      throw new ErrataError(
        'INVALID_TENSOR',
        `the chunks of layer ${layer} hold more than ${rows} × ${columns} elements`,
      );
    chunk.data.copy(this.bytes, this.filled);
    this.filled += chunk.data.length;
  }

  get complete(): boolean {
    return this.filled === this.bytes.length;
  }

  /** @throws INVALID_TENSOR while chunks are missing */
  matrix(): DenseMatrix {
    if (!this.complete)
      throw new ErrataError(
        'INVALID_TENSOR',
        `${this.bytes.length - this.filled} bytes of layer ${this.first.layer} are missing`,
      );
    return { rows: this.first.rows, columns: this.first.columns, data: floatsOf(this.bytes) };
  }
}

function checkLength(field: string, rows: number, columns: number, bytes: number): void {
  if (bytes !== rows * columns * 4)
    throw new ErrataError(
      'INVALID_TENSOR',
      `${field} is ${rows} × ${columns} but holds ${bytes} bytes instead of ${rows * columns * 4}`,
    );
}

function bytesOf(data: Float32Array): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

/** A view where the bytes are aligned for fp32, else a copy: a Float32Array must start at a multiple of 4. */
function floatsOf(bytes: Buffer): Float32Array {
  if (bytes.byteOffset % 4 === 0)
    return new Float32Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length / 4);
  const copy = new Float32Array(bytes.length / 4);
  Buffer.from(copy.buffer).set(bytes);
  return copy;
}
