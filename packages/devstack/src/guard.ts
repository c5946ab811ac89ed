import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/**
 * Starts the process that ends whatever the ledger names once this process is gone, however it went.
 * @returns releases the guard: it reads the ledger a last time and ends
 */
export function startGuard(ledgerFile: string): () => void {
  const program = fileURLToPath(new URL('../bootstrap/guard.mjs', import.meta.url));
  const guard = spawn(process.execPath, [program, ledgerFile], {
    detached: true,
    cwd: '/',
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard.once('error', () => {});
  guard.stdin.once('error', () => {});
  guard.unref();
  // A pipe of a child keeps the event loop alive otherwise; the stream's type does not tell that it is a socket.
  if ('unref' in guard.stdin && typeof guard.stdin.unref === 'function') guard.stdin.unref();
  return () => guard.stdin.end();
}
