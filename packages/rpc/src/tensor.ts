import { endianness } from 'node:os';
import { ErrataError } from '@errata/contracts';
import { ElementType, type Tensor, type TensorChunk } from './generated/errata/v1/tensor.js';

/** A column-major matrix: element (i, j) is `data[j * rows + i]`. */
export interface MatrixOf<Values extends Float32Array | Float64Array> {
  readonly rows: number;
  readonly columns: number;
  readonly data: Values;
}

/** A column-major fp32 matrix. */
export type DenseMatrix = MatrixOf<Float32Array>;

/** A column-major fp64 matrix. */
export type DenseMatrix64 = MatrixOf<Float64Array>;

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
  const { rows, columns, data } = tensor;
  return { rows, columns, data: floatsOf(data) };
}

/**
 * Cuts a matrix into messages of at most {@link chunkBytes}; one without elements is one empty message.
 * @param name which tensor of the message it is, where there are several
 * @throws INVALID_TENSOR when shape and length disagree
 */
export function* tensorChunks(
  layer: number,
  matrix: MatrixOf<Float32Array | Float64Array>,
  name = '',
): Generator<TensorChunk> {
  const { rows, columns } = matrix;
  const element =
    matrix.data instanceof Float64Array ? ElementType.ELEMENT_TYPE_FLOAT64 : ElementType.ELEMENT_TYPE_UNSPECIFIED;
  const bytes = bytesOf(matrix.data);
  checkLength(name || 'tensor', rows, columns, bytes.length, matrix.data.BYTES_PER_ELEMENT);
  let offset = 0;
  do {
    yield { layer, rows, columns, offset, data: bytes.subarray(offset, offset + chunkBytes), name, element };
    offset += chunkBytes;
  } while (offset < bytes.length);
}

/** Bytes of the whole tensor that a chunk belongs to. @throws INVALID_TENSOR on an element type that is not known */
export function tensorBytes({ rows, columns, element }: Pick<TensorChunk, 'rows' | 'columns' | 'element'>): number {
  return rows * columns * elementBytes(element);
}

/** Puts chunks back together. Throws INVALID_TENSOR on a gap, an overlap or a changed shape. */
export class TensorAssembler {
  private readonly bytes: Buffer;
  private filled = 0;

  constructor(private readonly first: Omit<TensorChunk, 'offset' | 'data'>) {
    this.bytes = Buffer.from(new ArrayBuffer(tensorBytes(first)));
  }

  add(chunk: TensorChunk): void {
    const { layer, rows, columns, element, name } = this.first;
    if (
      chunk.layer !== layer ||
      chunk.rows !== rows ||
      chunk.columns !== columns ||
      chunk.element !== element ||
      chunk.name !== name ||
      chunk.offset !== this.filled
    )
      throw new ErrataError(
        'INVALID_TENSOR',
        `chunk at byte ${chunk.offset} of ${chunk.name} of layer ${chunk.layer} does not follow byte ${this.filled} of layer ${layer}`,
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

  /** @throws INVALID_TENSOR while chunks are missing, or when the elements are not fp32 */
  matrix(): DenseMatrix {
    const { rows, columns } = this.first;
    return { rows, columns, data: floatsOf(this.#whole(ElementType.ELEMENT_TYPE_UNSPECIFIED)) };
  }

  /** @throws INVALID_TENSOR while chunks are missing, or when the elements are not fp64 */
  matrix64(): DenseMatrix64 {
    const { rows, columns } = this.first;
    const bytes = this.#whole(ElementType.ELEMENT_TYPE_FLOAT64);
    return { rows, columns, data: new Float64Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length / 8) };
  }

  #whole(element: ElementType): Buffer {
    const { layer, name } = this.first;
    if (this.first.element !== element)
      throw new ErrataError('INVALID_TENSOR', `${name || 'the tensor'} of layer ${layer} has another element type`);
    if (!this.complete)
      throw new ErrataError(
        'INVALID_TENSOR',
        `${this.bytes.length - this.filled} bytes of ${name && `${name} of `}layer ${layer} are missing`,
      );
    return this.bytes;
  }
}

function elementBytes(element: ElementType): number {
  switch (element) {
    case ElementType.ELEMENT_TYPE_UNSPECIFIED:
      return 4;
    case ElementType.ELEMENT_TYPE_FLOAT64:
      return 8;
    default:
      throw new ErrataError('INVALID_TENSOR', `element type ${element} is not known`);
  }
}

function checkLength(field: string, rows: number, columns: number, bytes: number, size = 4): void {
  if (bytes !== rows * columns * size)
    throw new ErrataError(
      'INVALID_TENSOR',
      `${field} is ${rows} × ${columns} but holds ${bytes} bytes instead of ${rows * columns * size}`,
    );
}

function bytesOf(data: Float32Array | Float64Array): Buffer {
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
