import { readFileSync } from 'node:fs';
import { freemem } from 'node:os';
import { TensorError } from './errors.js';

/** Left to everything else on the machine when a matrix is allocated. */
const RESERVE = 64 * 2 ** 20;

function numberIn(file: string, pattern = /^(\d+)/): number | null {
  try {
    const match = pattern.exec(readFileSync(file, 'utf8'));
    return match === null ? null : Number(match[1]);
  } catch {
    return null;
  }
}

/** Bytes that can be allocated without swapping: the machine's, or the container's where that is less. */
export function availableMemory(): number {
  const machine = freemem();
  const limit = numberIn('/sys/fs/cgroup/memory.max');
  const used = numberIn('/sys/fs/cgroup/memory.current');
  if (limit === null || used === null) return machine;
  const cache = numberIn('/sys/fs/cgroup/memory.stat', /^inactive_file (\d+)/m) ?? 0;
  return Math.min(machine, Math.max(0, limit - used + cache));
}

/** @throws TensorError OUT_OF_MEMORY before the operating system has to kill the process */
export function checkMemory(what: string, bytes: number): void {
  const available = availableMemory();
  if (bytes + RESERVE > available)
    throw new TensorError(
      'OUT_OF_MEMORY',
      `${what} needs ${bytes} bytes and ${available} are available: split it over more workers, or free memory`,
    );
}
