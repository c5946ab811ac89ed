import { closeSync, openSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { type TensorFormat, tensorFormats } from './dequantize.js';
import { ModelError } from './errors.js';
import { type GgufTensorInfo, readGgufHeader } from './gguf-header.js';
import { shown } from './shown.js';
import { readStored, type StoredTensor } from './stored-tensor.js';

/** Where a tensor lies in the file. `shape` is row-major: [out, in] for a matrix. */
export type GgufTensor = StoredTensor;

/** A GGUF file whose header was read and whose tensors all lie inside the file, one after the other. */
export interface GgufFile {
  readonly path: string;
  readonly metadata: ReadonlyMap<string, unknown>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  /** Offsets of tensors are multiples of it, in bytes. */
  readonly alignment: number;
  /** Where the list of tensors begins and ends, in bytes from the start of the file. */
  readonly listRange: readonly [number, number];
}

/**
 * Reads the header of a GGUF file and checks every tensor against the size of the file.
 * @throws ModelError FILE_NOT_FOUND, FILE_TRUNCATED, FILE_MALFORMED, UNSUPPORTED_FORMAT
 */
export async function openGguf(path: string): Promise<GgufFile> {
  const size = await fileSize(path);
  const handle = openSync(path, 'r');
  try {
    const { metadata, tensors: infos, alignment, listRange, dataOffset } = readGgufHeader(handle, path, size);
    const tensors = new Map<string, GgufTensor>();
    let expected = 0;
    for (const info of infos) {
      const tensor = locate(path, info, dataOffset);
      if (tensor.offset + tensor.bytes > size)
        throw new ModelError(
          'FILE_TRUNCATED',
          `${path}: tensor ${shown(info.name)} ends at byte ${tensor.offset + tensor.bytes}, but the file has ${size}; download it again`,
        );
      if (info.offset !== BigInt(expected))
        throw new ModelError(
          'FILE_MALFORMED',
          `${path}: tensor ${shown(info.name)} begins at byte ${info.offset} of the data, where ${expected} was due: tensors must follow each other at multiples of ${alignment}; convert the model again`,
        );
      expected += Math.ceil(tensor.bytes / alignment) * alignment;
      tensors.set(info.name, tensor);
    }
    return { path, metadata, tensors, alignment, listRange };
  } finally {
    closeSync(handle);
  }
}

function locate(path: string, info: GgufTensorInfo, dataOffset: number): GgufTensor {
  const format = formatOf(path, info);
  const shape = info.dimensions.map(Number).reverse();
  const values = shape.reduce((product, dimension) => product * dimension, 1);
  const rowLength = shape.at(-1) ?? 1;
  if (values === 0 || !Number.isSafeInteger(values) || rowLength % format.blockValues !== 0)
    throw new ModelError(
      'FILE_MALFORMED',
      `${path}: tensor ${shown(info.name)} has the impossible shape [${shape}] for ${format.name}, which stores ${format.blockValues} values at a time`,
    );
  const bytes = (values / format.blockValues) * format.blockBytes;
  return { name: info.name, shape, format, offset: dataOffset + Number(info.offset), bytes, values };
}

function formatOf(path: string, info: GgufTensorInfo): TensorFormat {
  const format = tensorFormats.get(info.type);
  if (format) return format;
  const supported = [...tensorFormats.values()].map((known) => known.name).join(', ');
  throw new ModelError(
    'UNSUPPORTED_FORMAT',
    `${path}: tensor ${shown(info.name)} has the storage type ${info.type}; supported are ${supported}`,
  );
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

/**
 * Expands one tensor to fp32, row-major, into `out` (which must have room for exactly its values). Reads in pieces, so
 * that the packed form is never held whole.
 * @throws ModelError FILE_MALFORMED when `out` has another size, FILE_TRUNCATED when the file shrank since it was opened
 */
export function readTensor(file: GgufFile, tensor: GgufTensor, out?: Float32Array): Float32Array {
  return readStored(file.path, tensor, out);
}
