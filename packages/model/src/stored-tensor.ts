import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { f32, type TensorFormat } from './dequantize.js';
import { ModelError } from './errors.js';
import type { WeightTensor } from './weight-source.js';

/** Bytes read at a time while a tensor is expanded: stays in the cache of a core, large enough for the disk. */
const pieceBytes = 512 * 1024;

/** Bytes of fp32 read at a time, straight to where they belong; one system call moves less than 2 GiB. */
const directBytes = 64 * 1024 * 1024;

/** A tensor of a file and where its bytes lie. */
export interface StoredTensor extends WeightTensor {
  readonly name: string;
  readonly format: TensorFormat;
  /** From the start of the file, in bytes. */
  readonly offset: number;
  readonly bytes: number;
}

/**
 * Expands one tensor of the file at `path` to fp32, row-major, into `out` (which must have room for exactly its values).
 * Reads in pieces, so that the packed form is never held whole.
 * @throws ModelError FILE_MALFORMED when `out` has another size, FILE_TRUNCATED when the file shrank since it was opened
 */
export function readStored(
  path: string,
  tensor: StoredTensor,
  out: Float32Array = new Float32Array(tensor.values),
): Float32Array {
  if (out.length !== tensor.values)
    throw new ModelError(
      'FILE_MALFORMED',
      `${path}: tensor ${tensor.name} has ${tensor.values} values, wanted ${out.length}`,
    );
  const handle = openFile(path);
  try {
    if (tensor.format === f32) readDirect(handle, path, tensor, out);
    else readPieces(handle, path, tensor, out);
  } finally {
    closeSync(handle);
  }
  return out;
}

function openFile(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    throw new ModelError('FILE_NOT_FOUND', `${path} is gone or cannot be read`, { cause });
  }
}

function readDirect(handle: number, path: string, tensor: StoredTensor, out: Float32Array): void {
  const target = new Uint8Array(out.buffer, out.byteOffset, out.byteLength);
  for (let done = 0; done < tensor.bytes; done += directBytes)
    fill(handle, path, tensor, done, target.subarray(done, done + directBytes));
}

function readPieces(handle: number, path: string, tensor: StoredTensor, out: Float32Array): void {
  const { blockBytes, blockValues, unpack } = tensor.format;
  const piece = new Uint8Array(Math.min(tensor.bytes, Math.floor(pieceBytes / blockBytes) * blockBytes));
  for (let done = 0; done < tensor.bytes; done += piece.length) {
    const part = piece.subarray(0, Math.min(piece.length, tensor.bytes - done));
    fill(handle, path, tensor, done, part);
    unpack(part, part.length / blockBytes, out, (done / blockBytes) * blockValues);
  }
}

/** Fills `target` with the bytes of a tensor from `done` on. */
function fill(handle: number, path: string, tensor: StoredTensor, done: number, target: Uint8Array): void {
  for (let filled = 0; filled < target.length; ) {
    const read = readSync(handle, target, filled, target.length - filled, tensor.offset + done + filled);
    if (read === 0)
      throw new ModelError(
        'FILE_TRUNCATED',
        `${path} ends at byte ${fstatSync(handle).size} in tensor ${tensor.name}, which needs ${tensor.offset + tensor.bytes}; it changed since it was opened`,
      );
    filled += read;
  }
}
