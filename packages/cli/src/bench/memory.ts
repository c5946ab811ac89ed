import { readFileSync, writeFileSync } from 'node:fs';
import { freemem } from 'node:os';
import { UsageError } from '../failure.js';
import type { RlsBenchOptions } from './options.js';

/** Resident bytes of this process now and at most since the last reset. */
export interface MemoryWatch {
  now(): number;
  /** Whether `peak` covers the time since `reset` alone; without Linux's counters it covers the process's life. */
  readonly exact: boolean;
  peak(): number;
  reset(): void;
}

/** The kernel's own high-water mark (`VmHWM`), which sees peaks between two looks; elsewhere the process's maximum. */
export function watchMemory(): MemoryWatch {
  const now = () => process.memoryUsage.rss();
  const lifetimePeak = () => process.resourceUsage().maxRSS * 1024;
  try {
    writeFileSync('/proc/self/clear_refs', '5');
    if (!Number.isFinite(highWaterMark())) return { now, exact: false, peak: lifetimePeak, reset: () => undefined };
    return { now, exact: true, peak: highWaterMark, reset: () => writeFileSync('/proc/self/clear_refs', '5') };
  } catch {
    return { now, exact: false, peak: lifetimePeak, reset: () => undefined };
  }
}

function highWaterMark(): number {
  return 1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
}

/** Bytes that new allocations can have now. */
export function availableMemory(): number {
  try {
    const line = /MemAvailable:\s+(\d+)/.exec(readFileSync('/proc/meminfo', 'utf8'));
    if (line) return 1024 * Number(line[1]);
  } catch {
    // Not Linux.
  }
  return freemem();
}

/** Copies of the packed C at the peak: A₀, C₀, the stream's own, and working memory of an update. */
const PACKED_COPIES = 3.4;
/** Bytes that the records keep of an element of K, G and B, recorded and derived. */
const RECORD_BYTES = 16;

/** Bytes that our side of the benchmark needs. */
export function rlsBytes(options: RlsBenchOptions, bytesPerElement: 4 | 8): number {
  const { dIn, dOut, batch } = options;
  const columns = Math.max(options.edits, options.history) + batch;
  const dense = PACKED_COPIES * (dIn * (dIn + 1)) * 0.5 + dIn * dOut;
  return dense * bytesPerElement + columns * (2 * dIn + dOut) * RECORD_BYTES;
}

/** Bytes that one comparator needs: the square C, Δ, and a tile of the update. */
export function comparatorBytes(options: RlsBenchOptions, bytesPerElement: 4 | 8): number {
  return bytesPerElement * (options.dIn * options.dIn * 1.1 + 2 * options.dIn * options.dOut) + 500e6;
}

/** @throws UsageError saying what is needed, what there is, and which option to lower */
export function checkMemory(options: RlsBenchOptions, bytesPerElement: 4 | 8, available: number): void {
  const needed = rlsBytes(options, bytesPerElement);
  if (needed <= available) return;
  const gib = (bytes: number) => (bytes / 2 ** 30).toFixed(1);
  throw new UsageError(
    `--d-in ${options.dIn} with --d-out ${options.dOut} and ${Math.max(options.edits, options.history)} edits needs about ${gib(needed)} GiB in ${bytesPerElement === 4 ? 'fp32' : 'fp64'}, and ${gib(available)} GiB are available: choose a smaller --d-in, fewer --edits, or --precision fp32`,
  );
}
