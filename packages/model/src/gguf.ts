import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { gguf } from '@huggingface/gguf';
import { type TensorFormat, tensorFormats } from './dequantize.js';
import { ModelError } from './errors.js';

/** Bytes read at a time while a tensor is expanded: large enough for the disk, small beside the weights. */
const readBytes = 4 * 1024 * 1024;

/** Where a tensor lies in the file. `shape` is row-major: [out, in] for a matrix. */
export interface GgufTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly format: TensorFormat;
  /** From the start of the file, in bytes. */
  readonly offset: number;
  readonly bytes: number;
  readonly values: number;
}

/** A GGUF file whose header was read and whose tensors all lie inside the file. */
export interface GgufFile {
  readonly path: string;
  readonly metadata: ReadonlyMap<string, unknown>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/**
 * Reads the header of a GGUF file (versions 1–3) and checks every tensor against the size of the file.
 * @throws ModelError FILE_NOT_FOUND, FILE_TRUNCATED, FILE_MALFORMED, UNSUPPORTED_FORMAT
 */
export async function openGguf(path: string): Promise<GgufFile> {
  const size = await fileSize(path);
  const header = await readHeader(path);
  const dataOffset = Number(header.tensorDataOffset);
  const tensors = new Map<string, GgufTensor>();
  for (const info of header.tensorInfos) {
    const format = tensorFormats.get(info.dtype);
    if (!format)
      throw new ModelError(
        'UNSUPPORTED_FORMAT',
        `${path}: tensor ${info.name} has the storage type ${info.dtype}; supported are ${[...tensorFormats.values()].map((f) => f.name).join(', ')}`,
      );
    const shape = info.shape.map(Number).reverse();
    const values = shape.reduce((a, b) => a * b, 1);
    const rowLength = shape.at(-1) ?? 0;
    if (values === 0 || !Number.isSafeInteger(values) || rowLength % format.blockValues !== 0)
      throw new ModelError(
        'FILE_MALFORMED',
        `${path}: tensor ${info.name} has the impossible shape [${shape}] for ${format.name}`,
      );
    const offset = dataOffset + Number(info.offset);
    const bytes = (values / format.blockValues) * format.blockBytes;
    if (!Number.isSafeInteger(offset) || offset + bytes > size)
      throw new ModelError(
        'FILE_TRUNCATED',
        `${path}: tensor ${info.name} ends at byte ${offset + bytes}, but the file has ${size}; download it again`,
      );
    if (tensors.has(info.name)) throw new ModelError('FILE_MALFORMED', `${path}: tensor ${info.name} appears twice`);
    tensors.set(info.name, { name: info.name, shape, format, offset, bytes, values });
  }
  return { path, metadata: new Map(Object.entries(header.metadata)), tensors };
}

async function fileSize(path: string): Promise<number> {
  try {
    const found = await stat(path);
    if (found.isFile()) return found.size;
  } catch (cause) {
    throw new ModelError('FILE_NOT_FOUND', `no model file at ${path}`, { cause });
  }
  throw new ModelError('FILE_NOT_FOUND', `${path} is not a file`);
}

async function readHeader(path: string) {
  try {
    return await gguf(path, { allowLocalFile: true });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ModelError('FILE_MALFORMED', `${path} is not a readable GGUF file: ${reason}`, { cause });
  }
}

/**
 * Expands one tensor to fp32, row-major, into `out` (which must have room for exactly its values). Reads in pieces, so
 * that the packed form is never held whole.
 * @throws ModelError FILE_TRUNCATED when the file shrank since it was opened
 */
export function readTensor(
  file: GgufFile,
  tensor: GgufTensor,
  out: Float32Array = new Float32Array(tensor.values),
): Float32Array {
  if (out.length !== tensor.values)
    throw new ModelError('FILE_MALFORMED', `tensor ${tensor.name} has ${tensor.values} values, wanted ${out.length}`);
  const { blockBytes, blockValues, unpack } = tensor.format;
  const piece = Buffer.allocUnsafe(Math.max(1, Math.floor(readBytes / blockBytes)) * blockBytes);
  const handle = openSync(file.path, 'r');
  try {
    for (let done = 0; done < tensor.bytes; ) {
      const length = Math.min(piece.length, tensor.bytes - done);
      for (let filled = 0; filled < length; ) {
        const read = readSync(handle, piece, filled, length - filled, tensor.offset + done + filled);
        if (read === 0)
          throw new ModelError(
            'FILE_TRUNCATED',
            `${file.path} ends at byte ${fstatSync(handle).size} in tensor ${tensor.name}`,
          );
        filled += read;
      }
      const view = new DataView(piece.buffer, piece.byteOffset, length);
      unpack(view, length / blockBytes, out, (done / blockBytes) * blockValues);
      done += length;
    }
  } finally {
    closeSync(handle);
  }
  return out;
}
