import { ModelError } from './errors.js';
import { GgufReader } from './gguf-reader.js';
import { shown } from './shown.js';

/**
 * Bytes of metadata and tensor list that are read: three times those of the largest vocabularies (262,144 tokens with
 * their merges). As a value of one byte becomes an element of eight, this also bounds the memory a header can cost.
 */
const maxHeaderBytes = 64 * 1024 * 1024;

/** Longest list: eight times the merges of the largest vocabularies. */
const maxListLength = 4 * 1024 * 1024;

/** Longest string: a chat template has some ten thousand bytes. */
const maxStringBytes = 16 * 1024 * 1024;

/** Of ggml.h: `GGML_MAX_NAME` (with the closing zero) and `GGML_MAX_DIMS`. */
const maxNameBytes = 63;
const maxDimensions = 4;

const defaultAlignment = 32;

/** The least a metadata pair can take: a key of one byte with its length, a type and a value of one byte. */
const pairBytes = 14;

/** The least an entry of the tensor list can take: the length of a name, dimensions, type and offset. */
const entryBytes = 24;

/** A tensor as the header states it; nothing of it is checked against the file yet. */
export interface GgufTensorInfo {
  readonly name: string;
  /** Fastest dimension first. */
  readonly dimensions: readonly bigint[];
  readonly type: number;
  /** From the start of the data section, in bytes. */
  readonly offset: bigint;
}

export interface GgufHeader {
  readonly metadata: ReadonlyMap<string, unknown>;
  readonly tensors: readonly GgufTensorInfo[];
  readonly alignment: number;
  /** Where the list of tensors begins and ends, in bytes from the start of the file. */
  readonly listRange: readonly [number, number];
  /** Start of the data section, in bytes from the start of the file. */
  readonly dataOffset: number;
}

/**
 * Reads the header of an open GGUF file of `size` bytes (versions 2 and 3, little-endian) with the checks of llama.cpp
 * (`gguf_init_from_reader`). 64-bit metadata are bigint, other numbers number, lists plain arrays.
 * @throws ModelError FILE_TRUNCATED, FILE_MALFORMED, UNSUPPORTED_FORMAT
 */
export function readGgufHeader(handle: number, path: string, size: number): GgufHeader {
  const malformed = (reason: string): ModelError => new ModelError('FILE_MALFORMED', `${path}: ${reason}`);
  const reader = new GgufReader({ handle, path, size, limit: maxHeaderBytes });
  if (size < 4 || reader.uint32() !== 0x46554747)
    throw malformed('is not a GGUF file: it does not begin with the letters GGUF');
  checkVersion(reader.uint32(), path);
  const tensorCount = reader.uint64();
  const pairCount = reader.uint64();
  reader.expect(pairCount, pairBytes, 'the number of metadata pairs');

  const metadata = new Map<string, unknown>();
  let alignment = defaultAlignment;
  for (let pair = 0; pair < pairCount; pair++) {
    const key = reader.string(maxStringBytes, `key ${pair}`);
    if (key === '') throw malformed(`key ${pair} is empty`);
    if (metadata.has(key)) throw malformed(`the key ${shown(key)} appears twice`);
    const type = reader.uint32();
    const value = readValue(reader, type, key, malformed);
    metadata.set(key, value);
    if (key === 'general.alignment') alignment = checkAlignment(type, value, malformed);
  }

  reader.expect(tensorCount, entryBytes, 'the number of tensors');
  const listStart = reader.position;
  const names = new Set<string>();
  const tensors: GgufTensorInfo[] = [];
  for (let index = 0; index < tensorCount; index++) {
    const name = reader.string(maxNameBytes, `the name of tensor ${index}`);
    if (names.has(name)) throw malformed(`tensor ${shown(name)} appears twice`);
    names.add(name);
    const rank = reader.uint32();
    if (rank > maxDimensions)
      throw malformed(`tensor ${shown(name)} has ${rank} dimensions; GGUF knows at most ${maxDimensions}`);
    const dimensions = Array.from({ length: rank }, () => reader.uint64());
    tensors.push({ name, dimensions, type: reader.uint32(), offset: reader.uint64() });
  }
  const listEnd = reader.position;
  const dataOffset = Math.ceil(listEnd / alignment) * alignment;
  return { metadata, tensors, alignment, listRange: [listStart, listEnd], dataOffset };
}

function checkVersion(version: number, path: string): void {
  if (version === 2 || version === 3) return;
  const advice = (version & 0xffff) === 0 ? 'it was written for big-endian machines' : 'versions 2 and 3 are read';
  throw new ModelError(
    'UNSUPPORTED_FORMAT',
    `${path} is a GGUF file of version ${version}: ${advice}; convert it again`,
  );
}

function checkAlignment(type: number, value: unknown, malformed: (reason: string) => ModelError): number {
  if (type === valueTypes.uint32 && typeof value === 'number' && value > 0 && (value & (value - 1)) === 0) return value;
  throw malformed(`general.alignment is ${shown(String(value))}, not a power of two of type uint32`);
}

const valueTypes = {
  uint8: 0,
  int8: 1,
  uint16: 2,
  int16: 3,
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  array: 9,
  uint64: 10,
  int64: 11,
  float64: 12,
} as const;

interface Scalar {
  /** The least a value takes. */
  readonly bytes: number;
  readonly read: (reader: GgufReader, key: string) => unknown;
}

const scalars: ReadonlyMap<number, Scalar> = new Map([
  [valueTypes.uint8, number(1, (view, at) => view.getUint8(at))],
  [valueTypes.int8, number(1, (view, at) => view.getInt8(at))],
  [valueTypes.uint16, number(2, (view, at) => view.getUint16(at, true))],
  [valueTypes.int16, number(2, (view, at) => view.getInt16(at, true))],
  [valueTypes.uint32, number(4, (view, at) => view.getUint32(at, true))],
  [valueTypes.int32, number(4, (view, at) => view.getInt32(at, true))],
  [valueTypes.float32, number(4, (view, at) => view.getFloat32(at, true))],
  [valueTypes.bool, number(1, (view, at) => view.getUint8(at) !== 0)],
  [valueTypes.string, { bytes: 8, read: (reader, key) => reader.string(maxStringBytes, `a value of ${shown(key)}`) }],
  [valueTypes.uint64, number(8, (view, at) => view.getBigUint64(at, true))],
  [valueTypes.int64, number(8, (view, at) => view.getBigInt64(at, true))],
  [valueTypes.float64, number(8, (view, at) => view.getFloat64(at, true))],
]);

function number(bytes: number, get: (view: DataView, at: number) => unknown): Scalar {
  return { bytes, read: (reader) => reader.value(bytes, get) };
}

function readValue(reader: GgufReader, type: number, key: string, malformed: (reason: string) => ModelError): unknown {
  const elementType = type === valueTypes.array ? reader.uint32() : type;
  const scalar = scalars.get(elementType);
  if (!scalar)
    throw malformed(
      elementType === valueTypes.array
        ? `${shown(key)} is a list of lists, which GGUF readers refuse`
        : `${shown(key)} has the unknown value type ${elementType}`,
    );
  if (type !== valueTypes.array) return scalar.read(reader, key);
  const count = reader.uint64();
  reader.expect(count, scalar.bytes, `the list ${shown(key)}`);
  if (count > maxListLength)
    throw malformed(`the list ${shown(key)} has ${count} elements; at most ${maxListLength} are read`);
  const values = new Array<unknown>(Number(count));
  for (let i = 0; i < values.length; i++) values[i] = scalar.read(reader, key);
  return values;
}
