import type { Precision } from '@errata/tensor';
import { startPython } from './python-program.js';

/** One library's version of the step, in a Python process that waits between rounds. */
export interface Comparator {
  readonly version: string;
  readonly device: string;
  /** Milliseconds of each of at least `batches` batches that take at least `seconds` together. */
  run(batches: number, seconds: number): Promise<readonly number[]>;
  close(): Promise<void>;
}

/** Which step a comparator runs. */
export interface ComparatorSpec {
  readonly library: 'numpy' | 'torch';
  readonly device: 'cpu' | 'cuda';
  readonly dIn: number;
  readonly dOut: number;
  readonly batch: number;
  readonly precision: Precision;
  readonly threads: number;
  readonly seed: number;
}

/** A comparator, or why there is none. */
export type ComparatorStart = { readonly comparator: Comparator } | { readonly missing: string };

/** Starts the Python program and waits until it has allocated and warmed up. */
export async function startComparator(
  python: string,
  spec: ComparatorSpec,
  signal: AbortSignal,
): Promise<ComparatorStart> {
  const started = await startPython(python, 'step.py', JSON.stringify(spec), signal);
  if ('missing' in started) return started;
  const { program } = started;
  return {
    comparator: {
      version: program.version,
      device: program.device,
      run: async (batches, seconds) => (await program.ask({ batches, seconds })).ms as number[],
      close: () => program.close(),
    },
  };
}
