import { randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { TensorError } from './errors.js';
import { checkMemory } from './memory.js';
import type { PanelPlace } from './panels.js';

/** fp64 panels outside the engine, written and read one at a time. */
export interface PanelStore {
  /** The values of a panel. In memory they are the stored ones, changed in place; of a file they are a copy. */
  load(index: number): Promise<Float64Array>;
  save(index: number, values: Float64Array): Promise<void>;
  dispose(): Promise<void>;
}

function bytesOf(place: PanelPlace): number {
  return place.rows * place.columns * Float64Array.BYTES_PER_ELEMENT;
}

/** @throws TensorError OUT_OF_MEMORY */
export function memoryPanels(places: readonly PanelPlace[]): PanelStore {
  checkMemory(
    'inverting in memory',
    places.reduce((sum, p) => sum + bytesOf(p), 0),
  );
  let panels: Float64Array[] | null = [];
  const held = () => {
    if (panels === null) throw new TensorError('INVALID_TENSOR', 'the inverse was disposed');
    return panels;
  };
  return {
    async load(index) {
      return held()[index];
    },
    async save(index, values) {
      held()[index] = values;
    },
    async dispose() {
      panels = null;
    },
  };
}

/** Panels in one scratch file of `folder`, which is removed by `dispose`. */
export async function filePanels(places: readonly PanelPlace[], folder: string): Promise<PanelStore> {
  await mkdir(folder, { recursive: true });
  const offsets: number[] = [];
  let total = 0;
  for (const place of places) {
    offsets.push(total);
    total += bytesOf(place);
  }
  const path = join(folder, `panels-${randomUUID()}.f64`);
  let file: FileHandle | null = await open(path, 'wx+');
  // On Linux an unlinked file lives as long as it is open, so that no crash leaves it behind.
  const unlinked = process.platform === 'linux';
  if (unlinked) await unlink(path);
  const opened = () => {
    if (file === null) throw new TensorError('INVALID_TENSOR', 'the inverse was disposed');
    return file;
  };
  return {
    async load(index) {
      const bytes = Buffer.from(new ArrayBuffer(bytesOf(places[index])));
      for (let done = 0; done < bytes.length; ) {
        const { bytesRead } = await opened().read(bytes, done, bytes.length - done, offsets[index] + done);
        if (bytesRead === 0) throw new Error(`scratch file ${path} ends early`);
        done += bytesRead;
      }
      return new Float64Array(bytes.buffer);
    },
    async save(index, values) {
      const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await opened().write(bytes, done, bytes.length - done, offsets[index] + done);
        done += bytesWritten;
      }
    },
    async dispose() {
      const last = file;
      file = null;
      await last?.close();
      if (last !== null && !unlinked) await unlink(path);
    },
  };
}
