import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ErrataError, type ExportFile, type ExportManifest, exportManifestSchema } from '@errata/contracts';
import { toExportError } from './errors.js';
import type { LayerRecord } from './source.js';

export const manifestName = 'manifest.json';

/** Bytes gathered before they are written: far fewer system calls than tensors have rows. */
const bufferBytes = 4 * 1024 * 1024;

/** Takes the bytes of a file, in order. */
export interface Sink {
  write(bytes: Uint8Array): Promise<void>;
}

/** What a file needs to be written. */
export interface FilePlan {
  readonly name: string;
  readonly bytes: number;
  /** Answers what was found out of layers on the way. */
  readonly produce: (sink: Sink) => Promise<readonly LayerRecord[]>;
}

/** A file that is on disk under its name. */
export interface WrittenFile {
  readonly file: ExportFile;
  readonly records: readonly LayerRecord[];
}

/** What `produce` found, beside the file until the folder is published: a run that goes on after a kill needs it. */
const recordsSuffix = '.records';

/**
 * A folder that appears whole or not at all. Files are made under temporary names in a folder beside the destination and
 * renamed when they are on disk; the manifest comes last, then the folder itself is renamed. A run that was killed finds
 * the files it had finished and goes on at the next.
 */
export class ExportFolder {
  readonly path: string;
  readonly #root: string;
  readonly #partial: string;

  /**
   * @param root folder of all exports
   * @param name of the destination within
   * @param id names the work: another run with the same id must write the same bytes
   */
  constructor(root: string, name: string, id: string) {
    this.#root = root;
    this.path = join(root, name);
    this.#partial = join(root, `.${name}.${id}.partial`);
  }

  /**
   * The manifest where the folder is there already. @throws EXPORT_EXISTS something else is in its place
   */
  async published(): Promise<ExportManifest | null> {
    if (!(await exists(this.path))) return null;
    const text = await readFile(join(this.path, manifestName), 'utf8').catch(() => null);
    const parsed = text === null ? null : exportManifestSchema.safeParse(parseJson(text));
    if (!parsed?.success) throw taken(this.path);
    return parsed.data;
  }

  /** Makes room: the root, the temporary folder. @throws DISK_FULL less than `bytes` are free, NOT_READY */
  async begin(bytes: number): Promise<void> {
    await guarded(async () => {
      await mkdir(this.#partial, { recursive: true });
      const { bavail, bsize } = await statfs(this.#partial);
      const missing = bytes - (await this.#bytesThere()) - bavail * bsize;
      if (missing > 0)
        throw new ErrataError(
          'DISK_FULL',
          `the export takes ${bytes} bytes, ${Math.ceil(missing)} more than are free in ${this.#root}: make room and export again`,
        );
    });
  }

  /** Writes a file, or takes the one that an earlier run finished. `progress` is told of bytes as they are done. */
  async write(plan: FilePlan, progress: (bytes: number) => void): Promise<WrittenFile> {
    return guarded(async () => {
      const path = join(this.#partial, plan.name);
      const there = await stat(path).catch(() => null);
      if (there?.size === plan.bytes) {
        progress(plan.bytes);
        const records = JSON.parse(await readFile(`${path}${recordsSuffix}`, 'utf8')) as LayerRecord[];
        return { file: { name: plan.name, bytes: plan.bytes, sha256: await hashOf(path) }, records };
      }
      const temporary = `${path}.part`;
      const handle = await open(temporary, 'w');
      const sink = new FileSink(handle, progress);
      let records: readonly LayerRecord[];
      try {
        records = await plan.produce(sink);
        await sink.flush();
        await handle.sync();
      } finally {
        await handle.close();
      }
      if (sink.bytes !== plan.bytes)
        throw new ErrataError('INTERNAL', `${plan.name} came to ${sink.bytes} bytes, ${plan.bytes} were planned`);
      await writeSynced(`${path}${recordsSuffix}`, JSON.stringify(records));
      await rename(temporary, path);
      await syncFolder(this.#partial);
      return { file: { name: plan.name, bytes: sink.bytes, sha256: sink.sha256 }, records };
    });
  }

  /** Adds the manifest and moves the folder to its name. @throws EXPORT_EXISTS something is there by now */
  async publish(manifest: ExportManifest): Promise<void> {
    await guarded(async () => {
      for (const { name } of manifest.files) await rm(join(this.#partial, `${name}${recordsSuffix}`), { force: true });
      await writeSynced(join(this.#partial, `${manifestName}.part`), manifestText(manifest));
      await rename(join(this.#partial, `${manifestName}.part`), join(this.#partial, manifestName));
      await syncFolder(this.#partial);
      if (await exists(this.path)) throw taken(this.path);
      await rename(this.#partial, this.path);
      await syncFolder(this.#root);
    });
  }

  /** Removes what an unfinished export wrote. */
  async discard(): Promise<void> {
    await rm(this.#partial, { recursive: true, force: true });
  }

  /** Removes the finished folder as well. */
  async remove(): Promise<void> {
    await this.discard();
    await rm(this.path, { recursive: true, force: true });
  }

  async #bytesThere(): Promise<number> {
    let bytes = 0;
    for (const name of await readdir(this.#partial)) bytes += (await stat(join(this.#partial, name))).size;
    return bytes;
  }
}

/** The bytes of a manifest. */
export function manifestText(manifest: ExportManifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

class FileSink implements Sink {
  bytes = 0;
  readonly #hash: Hash = createHash('sha256');
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;

  constructor(
    private readonly handle: FileHandle,
    private readonly progress: (bytes: number) => void,
  ) {}

  /** Keeps a copy: the caller may use the buffer again. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#pending.push(bytes.slice());
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes >= bufferBytes) await this.flush();
  }

  async flush(): Promise<void> {
    for (const bytes of this.#pending) this.#hash.update(bytes);
    let [written, wanted] = [0, this.#pendingBytes];
    if (wanted > 0) ({ bytesWritten: written } = await this.handle.writev(this.#pending));
    if (written < wanted) {
      const rest = Buffer.concat(this.#pending).subarray(written);
      while (written < wanted)
        written += (await this.handle.write(rest, rest.length - (wanted - written))).bytesWritten;
    }
    this.bytes += wanted;
    this.#pending = [];
    this.#pendingBytes = 0;
    if (wanted > 0) this.progress(wanted);
  }

  get sha256(): string {
    return this.#hash.digest('hex');
  }
}

async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toExportError(error);
  }
}

async function writeSynced(path: string, text: string): Promise<void> {
  const handle = await open(path, 'w');
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash);
  return hash.digest('hex');
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function taken(path: string): ErrataError {
  return new ErrataError(
    'EXPORT_EXISTS',
    `${path} is there already and holds something else: name another destination`,
  );
}
