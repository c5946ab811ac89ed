import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../../tools/check-export.py', import.meta.url));

/** What tools/check-export.py is asked for. */
export interface Wish {
  readonly base?: string;
  readonly adapter?: string;
  readonly merged?: string;
  readonly gguf?: string;
  readonly rows: readonly (readonly number[])[];
  readonly texts?: readonly string[];
}

export interface Found {
  readonly adapter: Float32Array;
  readonly merged: Float32Array;
  readonly ids: readonly (readonly number[])[];
  readonly gguf: Readonly<Record<string, { type: string; sha256: string }>>;
}

export interface Python {
  /** Why exports cannot be loaded in Python; null where they can. */
  readonly missing: string | null;
  check(wish: Wish): Promise<Found>;
  close(): void;
}

/** Loads exported files in Python: ERRATA_PYTHON, else python3. */
export async function startPython(): Promise<Python> {
  const child = spawn(process.env.ERRATA_PYTHON ?? 'python3', [program], { stdio: ['pipe', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-4000);
  });
  child.on('error', (error) => {
    errors = error.message;
  });
  child.stdin.on('error', () => undefined);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<Record<string, unknown>> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`Python ended: ${errors}`);
    return JSON.parse(value) as Record<string, unknown>;
  };
  const first = await answer().catch((error: Error) => ({ missing: error.message }));
  return {
    missing: 'missing' in first ? String(first.missing) : null,
    async check(wish) {
      child.stdin.write(`${JSON.stringify(wish)}\n`);
      const { adapter = '', merged = '', ids = [], gguf = {} } = await answer();
      return { adapter: numbers(adapter), merged: numbers(merged), ids, gguf } as Found;
    },
    close: () => void child.stdin.end(),
  };
}

function numbers(base64: unknown): Float32Array {
  return new Float32Array(new Uint8Array(Buffer.from(String(base64), 'base64')).buffer);
}
