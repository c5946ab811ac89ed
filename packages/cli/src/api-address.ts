import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ErrataError } from '@errata/contracts';

interface StackState {
  readonly api: string;
  readonly pid: number;
}

/**
 * The address of the API: what --api or ERRATA_API says, else that of the running stack, which its state file
 * `<dataDir>/stack.json` names.
 * @throws NOT_READY when there is none
 */
export async function apiAddress(
  given: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  dataDir: string,
): Promise<string> {
  const named = given ?? env.ERRATA_API;
  if (named) return named.includes('://') ? named : `http://${named}`;
  const stack = await readStack(dataDir);
  if (stack) return stack.api.includes('://') ? stack.api : `http://${stack.api}`;
  throw new ErrataError(
    'NOT_READY',
    'No stack is running here, so the API is not reachable: start one, or name its address with --api or ERRATA_API',
  );
}

/** The running stack of a data directory; null when its process is gone. */
export async function readStack(dataDir: string): Promise<StackState | null> {
  const text = await readFile(join(dataDir, 'stack.json'), 'utf8').catch(() => null);
  if (text === null) return null;
  let state: unknown;
  try {
    state = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof state !== 'object' || state === null || !('api' in state) || !('pid' in state)) return null;
  const { api, pid } = state;
  return typeof api === 'string' && typeof pid === 'number' && isAlive(pid) ? { api, pid } : null;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
