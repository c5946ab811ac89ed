import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** A Python program that answers JSON lines with JSON lines. */
export interface PythonProgram {
  readonly version: string;
  readonly device: string;
  /** @throws Error with the program's last words when it ends without an answer */
  ask(wish: object): Promise<Record<string, unknown>>;
  close(): Promise<void>;
}

/** A program that runs, or why there is none. */
export type PythonStart = { readonly program: PythonProgram } | { readonly missing: string };

/** Characters of a failing program's last words that are passed on. */
const lastWords = 400;

/**
 * Starts one of the programs beside this module and waits for its first line, which says what runs
 * ({version, device}) or what it lacks ({missing}).
 */
export async function startPython(
  python: string,
  name: 'step.py' | 'model.py',
  argument: string,
  signal: AbortSignal,
): Promise<PythonStart> {
  const file = fileURLToPath(new URL(`../../src/bench/${name}`, import.meta.url));
  const child = spawn(python, [file, argument], { stdio: ['pipe', 'pipe', 'pipe'], signal });
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
    program: {
      version: String(about.version),
      device: String(about.device),
      ask(wish) {
        child.stdin.write(`${JSON.stringify(wish)}\n`);
        return answer();
      },
      async close() {
        child.stdin.end();
        await ended;
      },
    },
  };
}
