import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../../tools/check-export.py', import.meta.url));

/** What tools/check-export.py is asked for. */
export interface Wish {
  readonly base?: string;
  readonly adapter?: string;
  readonly merged?: string;
  readonly gguf?: string;
  readonly rows: readonly (readonly number[])[];
}

export interface Found {
  readonly missing?: string;
  readonly adapter?: Float32Array;
  readonly merged?: Float32Array;
  readonly gguf?: Readonly<Record<string, { type: string; sha256: string }>>;
}

/** Loads exported files in Python: ERRATA_PYTHON, else python3. `missing` says what it lacks. */
export async function inPython(wish: Wish): Promise<Found> {
  const child = spawn(process.env.ERRATA_PYTHON ?? 'python3', [program], { stdio: ['pipe', 'pipe', 'pipe'] });
  let [output, errors] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-4000);
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(JSON.stringify(wish));
  const ended = await new Promise<string | number | null>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code) => resolve(code));
  });
  if (typeof ended === 'string') return { missing: ended };
  if (ended !== 0) throw new Error(`Python ended with ${ended}: ${errors}`);
  const answer = JSON.parse(output) as Record<'missing' | 'adapter' | 'merged', string | undefined> &
    Pick<Found, 'gguf'>;
  return {
    ...(answer.missing !== undefined && { missing: answer.missing }),
    ...(answer.adapter !== undefined && { adapter: numbers(answer.adapter) }),
    ...(answer.merged !== undefined && { merged: numbers(answer.merged) }),
    ...(answer.gguf !== undefined && { gguf: answer.gguf }),
  };
}

function numbers(base64: string): Float32Array {
  return new Float32Array(new Uint8Array(Buffer.from(base64, 'base64')).buffer);
}
