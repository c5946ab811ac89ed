import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ModelError } from './errors.js';

/** Makes folders, which are removed when `atEnd` calls back. @param atEnd the test runner's `afterAll` */
export function temporaryFolders(atEnd: (work: () => void) => void): () => string {
  const folders: string[] = [];
  atEnd(() => {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });
  return () => {
    const folder = mkdtempSync(join(tmpdir(), 'errata-weights-'));
    folders.push(folder);
    return folder;
  };
}

/** Writes files into a folder of its own, for tests, and answers their paths. */
export function temporaryFiles(
  atEnd: (work: () => void) => void,
): (name: string, bytes: Uint8Array | string) => string {
  const folder = temporaryFolders(atEnd)();
  return (name, bytes) => {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    return path;
  };
}

/** Path of a file of fixtures/weights. */
export function weightFixture(name: string): string {
  return fileURLToPath(new URL(`../fixtures/weights/${name}`, import.meta.url));
}

/** Values and shapes that fixtures/weights/expected.json states, fp32 in base64. */
export interface StatedTensor {
  readonly shape: number[];
  readonly values: string;
}

/** What fixtures/weights/expected.json states of one file. */
export function stated(file: 'gguf' | 'safetensors'): {
  metadata: Record<string, unknown>;
  tensors: Record<string, StatedTensor>;
} {
  return JSON.parse(readFileSync(weightFixture('expected.json'), 'utf8'))[file];
}

/** fp32 out of base64. */
export function floats(base64: string): Float32Array {
  return new Float32Array(new Uint8Array(Buffer.from(base64, 'base64')).buffer);
}

/** The code and the message of the ModelError that `open` ends with; any other outcome is an error. */
export async function refusal(open: () => unknown): Promise<{ code: string; message: string }> {
  try {
    await open();
  } catch (error) {
    if (error instanceof ModelError) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error('the file was accepted');
}

/** A safetensors file of a header, as text or to be turned into JSON, and data. */
export function safetensorsBytes(header: unknown, data: Uint8Array | number = 0, length?: bigint): Buffer {
  const text = Buffer.isBuffer(header)
    ? header
    : Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length ?? BigInt(text.length));
  return Buffer.concat([prefix, text, typeof data === 'number' ? Buffer.alloc(data) : data]);
}

/** Little-endian pieces of a GGUF file. */
export const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
export const u64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
};
export const text = (value: string): Buffer =>
  Buffer.concat([u64(BigInt(Buffer.byteLength(value))), Buffer.from(value)]);

/** A metadata pair: key, type number, encoded value. */
export const pair = (key: string, type: number, value: Buffer): Buffer => Buffer.concat([text(key), u32(type), value]);

/** An entry of the tensor list; dimensions fastest first. */
export interface Entry {
  readonly name: string;
  readonly dimensions: readonly bigint[];
  /** Number of dimensions that the entry states, where it lies. */
  readonly rank?: number;
  readonly type?: number;
  readonly offset?: bigint;
}

/** A GGUF file; counts, version and alignment are what is given, whether or not they fit the rest. */
export function ggufBytes(parts: {
  magic?: string;
  version?: number;
  pairs?: readonly Buffer[];
  pairCount?: bigint;
  tensors?: readonly Entry[];
  tensorCount?: bigint;
  alignment?: number;
  data?: Uint8Array;
}): Buffer {
  const { magic = 'GGUF', version = 3, pairs = [], tensors = [], alignment = 32, data = Buffer.alloc(0) } = parts;
  const entries = tensors.map(({ name, dimensions, rank = dimensions.length, type = 0, offset = 0n }) =>
    Buffer.concat([text(name), u32(rank), ...dimensions.map(u64), u32(type), u64(offset)]),
  );
  const head = Buffer.concat([
    Buffer.from(magic, 'latin1'),
    u32(version),
    u64(parts.tensorCount ?? BigInt(tensors.length)),
    u64(parts.pairCount ?? BigInt(pairs.length)),
    ...pairs,
    ...entries,
  ]);
  return Buffer.concat([head, Buffer.alloc(Math.ceil(head.length / alignment) * alignment - head.length), data]);
}
