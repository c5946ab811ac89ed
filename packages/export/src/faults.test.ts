import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { folderOf } from '@errata/model/architecture-testing';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { exportTo, sourceOf, temporaryRoot } from './testing/edited.js';

const program = fileURLToPath(new URL('../dist/testing/export-process.js', import.meta.url));

let root: string;
let remove: () => Promise<void>;
beforeEach(async () => {
  ({ root, remove } = await temporaryRoot());
});
afterEach(() => remove());

it('ends with the same bytes however often it is killed', async () => {
  const source = sourceOf(await folderOf('llama3'));
  const { manifest } = await exportTo(root, 'whole', source, { format: 'safetensors', shardBytes: 4000 });
  const partial = join(root, '.killed.exp_1.partial');
  const finished = () =>
    existsSync(partial) ? readdirSync(partial).filter((name) => !name.includes('.part')).length : 0;
  let kills = 0;
  for (const wanted of [1, 10, 25]) {
    const child = spawn(process.execPath, [program, root], { stdio: 'inherit' });
    while (finished() < wanted && child.exitCode === null) await setTimeout(5);
    if (child.exitCode === null && child.kill('SIGKILL')) kills++;
    await once(child, 'exit').catch(() => undefined);
    expect(existsSync(join(root, 'killed'))).toBe(false);
  }
  expect(kills).toBe(3);
  const again = await exportTo(root, 'killed', source, { format: 'safetensors', shardBytes: 4000 });
  expect(again.manifest).toEqual(manifest);
  expect(readdirSync(join(root, 'killed')).sort()).toEqual(readdirSync(join(root, 'whole')).sort());
  expect(existsSync(partial)).toBe(false);
});

/** A file system of so many bytes, or why there is none. */
function smallDisk(path: string, bytes: number): string | null {
  try {
    mkdirSync(path);
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path], { stdio: 'pipe' });
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function writeUntilFull(path: string): void {
  const handle = openSync(path, 'w');
  try {
    for (;;) writeSync(handle, new Uint8Array(4096));
  } catch {
    // full
  } finally {
    closeSync(handle);
  }
}

it('leaves nothing behind on a disk that fills', async ({ skip }) => {
  const disk = join(root, 'disk');
  const reason = smallDisk(disk, 128 * 1024);
  skip(reason !== null, `a small file system cannot be mounted here: ${reason}`);
  try {
    const source = sourceOf(await folderOf('llama3'));
    const options = { format: 'safetensors', shardBytes: 4000 } as const;
    // The model takes more than the disk has.
    await expect(exportTo(disk, 'model', source, options)).rejects.toMatchObject({ code: 'DISK_FULL' });
    expect(readdirSync(disk)).toEqual([]);
    // There was room at the start: another process takes it meanwhile.
    let pauses = 0;
    const raced = {
      ...source,
      pause: async () => {
        if (pauses++ === 2) writeUntilFull(join(disk, 'other'));
      },
    };
    await expect(exportTo(disk, 'half', raced, { ...options, dtype: 'bf16' })).rejects.toMatchObject({
      code: 'DISK_FULL',
    });
    expect(pauses).toBeGreaterThan(2);
    expect(readdirSync(disk)).toEqual(['other']);
  } finally {
    execFileSync('umount', [disk]);
  }
});
