import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { processIdentity } from './identity.mjs';

const pollMilliseconds = 50;

/** Notes the processes of a stack, last started last, so that another process can end them. */
export function writeLedger(file, processes) {
  if (processes.length === 0) return rmSync(file, { force: true });
  mkdirSync(path.dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}.tmp`;
  writeFileSync(temporary, JSON.stringify(processes, null, 1));
  renameSync(temporary, file);
}

export function readLedger(file) {
  try {
    const processes = JSON.parse(readFileSync(file, 'utf8'));
    return Array.isArray(processes) ? processes : [];
  } catch {
    return [];
  }
}

function signalTo(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch {}
}

/**
 * Ends the processes of a ledger that still run, last started first: each with its own signal, then all with SIGKILL.
 * A process id that was given to another process since is left alone. Returns the names of those that were ended.
 */
export async function endLedger(file, graceMilliseconds = 10_000) {
  const alive = (entry) => entry.identity !== undefined && processIdentity(entry.pid) === entry.identity;
  const left = readLedger(file).reverse().filter(alive);
  for (const entry of left) signalTo(entry.pid, entry.signal);
  const deadline = performance.now() + graceMilliseconds;
  while (left.some(alive) && performance.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, pollMilliseconds));
  for (const entry of left.filter(alive)) {
    signalTo(-entry.pid, 'SIGKILL');
    signalTo(entry.pid, 'SIGKILL');
  }
  rmSync(file, { force: true });
  return left.map((entry) => entry.name);
}
