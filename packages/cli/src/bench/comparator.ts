import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Precision } from '@errata/tensor';

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

const program = fileURLToPath(new URL('../../src/bench/step.py', import.meta.url));
/** Characters of a failing program's last words that are passed on. */
const lastWords = 400;

/** Starts the Python program and waits until it has allocated and warmed up. */
export async function startComparator(
  python: string,
  spec: ComparatorSpec,
  signal: AbortSignal,
): Promise<ComparatorStart> {
  const child = spawn(python, [program, JSON.stringify(spec)], { stdio: ['pipe', 'pipe', 'pipe'], signal });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-lastWords);
  });
  child.stdin.on('error', () => undefined);
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code) => resolve(errors.trim() || `${python} ended with code ${code}`));
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<Record<string, unknown>> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(await ended);
    return JSON.parse(value) as Record<string, unknown>;
  };
  let about: Record<string, unknown>;
  try {
    about = await answer();
  } catch (error) {
    return { missing: error instanceof Error ? error.message : String(error) };
  }
  if (about.missing !== undefined) {
    await ended;
    return { missing: String(about.missing) };
  }
  return {
    comparator: {
      version: String(about.version),
      device: String(about.device),
      async run(batches, seconds) {
        child.stdin.write(`${JSON.stringify({ batches, seconds })}\n`);
        return (await answer()).ms as number[];
      },
      async close() {
        child.stdin.end();
        await ended;
      },
    },
  };
}
