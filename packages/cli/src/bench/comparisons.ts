import type { Precision } from '@errata/tensor';
import { type Comparator, startComparator } from './comparator.js';
import { availableMemory, comparatorBytes } from './memory.js';
import type { RlsBenchOptions } from './options.js';
import { median } from './statistics.js';

/** Batches of a comparator in one round, at least. */
const ROUND_BATCHES = 3;
/** Seconds of a comparator in one round, at least: small steps need many to give a median. */
const ROUND_SECONDS = 0.4;

/** What a comparator measured, or why it did not. */
export interface Compared {
  readonly library: 'numpy' | 'torch';
  readonly version: string | null;
  readonly device: string | null;
  readonly msPerBatch: number | null;
  readonly batches: number;
  readonly missing: string | null;
}

/** The comparators of one run; rounds of them stand between parts of our stream. */
export interface Comparisons {
  round(): Promise<void>;
  /** Ends the programs. */
  finish(): Promise<readonly Compared[]>;
}

/**
 * Starts NumPy and PyTorch for the step that the options describe. What is not installed, or does not fit into memory,
 * is listed as missing with the reason.
 *
 * @param python null leaves both out
 */
export async function startComparisons(
  python: string | null,
  options: RlsBenchOptions,
  precision: Precision,
  threads: number,
  signal: AbortSignal,
): Promise<Comparisons> {
  const onGpu = options.engine === 'webgpu';
  const entries: { library: 'numpy' | 'torch'; comparator: Comparator | null; missing: string | null; ms: number[] }[] =
    [];
  for (const library of ['numpy', 'torch'] as const) {
    const entry = { library, comparator: null as Comparator | null, missing: null as string | null, ms: [] };
    entries.push(entry);
    const needed = comparatorBytes(options, precision === 'fp32' ? 4 : 8);
    if (python === null) entry.missing = 'left out (--no-compare)';
    else if (onGpu && library === 'numpy') entry.missing = 'NumPy has no GPU';
    else if (!onGpu && needed > availableMemory())
      entry.missing = `needs ${(needed / 2 ** 30).toFixed(1)} GiB more than our part leaves`;
    else {
      const { dIn, dOut, batch, seed } = options;
      const spec = { library, device: onGpu ? 'cuda' : 'cpu', dIn, dOut, batch, precision, threads, seed } as const;
      const started = await startComparator(python, spec, signal);
      if ('missing' in started) entry.missing = started.missing;
      else entry.comparator = started.comparator;
    }
  }
  return {
    async round() {
      for (const { comparator, ms } of entries)
        if (comparator) ms.push(...(await comparator.run(ROUND_BATCHES, ROUND_SECONDS)));
    },
    async finish() {
      for (const { comparator } of entries) await comparator?.close();
      return entries.map(({ library, comparator, missing, ms }) => ({
        library,
        version: comparator?.version ?? null,
        device: comparator?.device ?? null,
        msPerBatch: ms.length === 0 ? null : median(ms),
        batches: ms.length,
        missing,
      }));
    },
  };
}
