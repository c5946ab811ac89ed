import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { bf16, f16, f32, f64, type TensorFormat } from './dequantize.js';
import { ModelError } from './errors.js';
import { parseSafetensorsHeader, type SafetensorsHeader, type SafetensorsInfo } from './safetensors-header.js';
import { shown } from './shown.js';
import { readStored } from './stored-tensor.js';
import type { WeightSource, WeightTensor } from './weight-source.js';

/** Of the reference implementation (safetensors, `MAX_HEADER_SIZE`). */
const maxHeaderBytes = 100_000_000;

const lengthBytes = 8;

/** Bits a value takes, by dtype (safetensors, `Dtype`). */
const dtypeBits: ReadonlyMap<string, number> = new Map([
  ['F4', 4],
  ['F6_E2M3', 6],
  ['F6_E3M2', 6],
  ...['BOOL', 'U8', 'I8', 'F8_E5M2', 'F8_E4M3', 'F8_E8M0', 'F8_E4M3FNUZ', 'F8_E5M2FNUZ'].map(bits(8)),
  ...['I16', 'U16', 'F16', 'BF16'].map(bits(16)),
  ...['I32', 'U32', 'F32'].map(bits(32)),
  ...['C64', 'F64', 'I64', 'U64'].map(bits(64)),
]);

const formats: ReadonlyMap<string, TensorFormat> = new Map([f32, f16, bf16, f64].map((f) => [f.name, f]));

/** A tensor of a safetensors file. */
export interface SafetensorsTensor extends WeightTensor {
  readonly dtype: string;
  /** From the start of the file, in bytes. */
  readonly offset: number;
  readonly bytes: number;
}

/** A safetensors file whose header was read and whose tensors cover it without holes or overlap. */
export interface SafetensorsFile extends WeightSource {
  readonly metadata: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
}

/**
 * Opens a safetensors file with the checks of the reference implementation and of the format's description. F32, F16,
 * BF16 and F64 can be read; tensors of other types are listed.
 * @throws ModelError FILE_NOT_FOUND, FILE_TRUNCATED, FILE_MALFORMED
 */
export function openSafetensors(path: string): SafetensorsFile {
  const { header, dataOffset, size } = readHeader(path);
  const tensors = new Map<string, SafetensorsTensor>();
  const inOrder = [...header.tensors].sort(([, { offsets: a }], [, { offsets: b }]) => a[0] - b[0] || a[1] - b[1]);
  let end = 0;
  for (const [name, info] of inOrder) {
    const [from, to] = info.offsets;
    if (from !== end || to < from)
      throw malformed(
        path,
        `tensor ${shown(name)} lies at bytes ${from} to ${to} of the data, where it had to begin at ${end}: tensors may neither overlap nor leave holes`,
      );
    end = to;
    const values = checkShape(path, name, info);
    tensors.set(name, { dtype: info.dtype, shape: info.shape, values, offset: dataOffset + from, bytes: to - from });
  }
  if (dataOffset + end > size)
    throw new ModelError(
      'FILE_TRUNCATED',
      `${path} has ${size} bytes, but its tensors end at byte ${dataOffset + end}; download it again`,
    );
  if (dataOffset + end < size)
    throw malformed(path, `the tensors end at byte ${dataOffset + end}, but the file has ${size} bytes`);
  return { path, metadata: header.metadata, tensors, read: (name, out) => read(path, tensors, name, out) };
}

function readHeader(path: string): { header: SafetensorsHeader; dataOffset: number; size: number } {
  const size = fileSize(path);
  const handle = openSync(path, 'r');
  try {
    const length = readBytes(handle, path, 0, lengthBytes, size).readBigUInt64LE();
    if (length > maxHeaderBytes)
      throw malformed(path, `the header has ${length} bytes; at most ${maxHeaderBytes} are allowed`);
    const dataOffset = lengthBytes + Number(length);
    return { header: parse(path, readBytes(handle, path, lengthBytes, Number(length), size)), dataOffset, size };
  } finally {
    closeSync(handle);
  }
}

/** Before the file is opened, because opening a pipe waits for its other end. */
function fileSize(path: string): number {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found?.isFile()) throw new ModelError('FILE_NOT_FOUND', `no weight file at ${path}`);
  return found.size;
}

function readBytes(handle: number, path: string, from: number, length: number, size: number): Buffer {
  const truncated = (have: number): ModelError =>
    new ModelError(
      'FILE_TRUNCATED',
      `${path} has ${have} bytes, but its header ends at byte ${from + length}; it is cut short or no safetensors file: download it again`,
    );
  if (from + length > size) throw truncated(size);
  const bytes = Buffer.allocUnsafe(length);
  for (let filled = 0; filled < length; ) {
    const read = readSync(handle, bytes, filled, length - filled, from + filled);
    if (read === 0) throw truncated(from + filled);
    filled += read;
  }
  return bytes;
}

function parse(path: string, bytes: Buffer): SafetensorsHeader {
  try {
    return parseSafetensorsHeader(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (cause) {
    const reason = cause instanceof SyntaxError ? cause.message : 'is not UTF-8';
    throw new ModelError('FILE_MALFORMED', `${path}: the header ${reason}; write the file again`, { cause });
  }
}

/** Answers the number of values. */
function checkShape(path: string, name: string, { dtype, shape, offsets }: SafetensorsInfo): number {
  const bitsPerValue = dtypeBits.get(dtype);
  if (bitsPerValue === undefined) throw malformed(path, `tensor ${shown(name)} has the unknown dtype ${shown(dtype)}`);
  const shownShape = `[${shape.slice(0, 8)}${shape.length > 8 ? ', …' : ''}]`;
  let values = 1;
  for (const dimension of shape) {
    values *= dimension;
    if (!Number.isSafeInteger(values * bitsPerValue))
      throw malformed(path, `tensor ${shown(name)} of shape ${shownShape} has more values than can be counted`);
  }
  const bytes = (values * bitsPerValue) / 8;
  const covered = offsets[1] - offsets[0];
  if (bytes !== covered)
    throw malformed(
      path,
      `tensor ${shown(name)} of shape ${shownShape} and dtype ${dtype} takes ${bytes} bytes, but ${covered} are set aside`,
    );
  return values;
}

function read(
  path: string,
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  name: string,
  out?: Float32Array,
): Float32Array {
  const tensor = tensors.get(name);
  if (!tensor) throw malformed(path, `there is no tensor ${shown(name)}`);
  const format = formats.get(tensor.dtype);
  if (!format)
    throw new ModelError(
      'UNSUPPORTED_FORMAT',
      `${path}: tensor ${shown(name)} is stored as ${tensor.dtype}; weights can be read from ${[...formats.keys()].join(', ')}: convert the model`,
    );
  return readStored(path, { ...tensor, name, format }, out);
}

function malformed(path: string, reason: string): ModelError {
  return new ModelError('FILE_MALFORMED', `${path}: ${reason}`);
}

function bits(count: number): (name: string) => [string, number] {
  return (name) => [name, count];
}
