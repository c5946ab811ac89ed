import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { processIdentity } from './identity.mjs';

const pollMilliseconds = 200;

/** Who holds a lock file: its process id while that process lives, otherwise undefined. */
export function lockHolder(file) {
  try {
    const { pid, identity } = JSON.parse(readFileSync(file, 'utf8'));
    return processIdentity(pid) === identity && identity !== undefined ? pid : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Takes a lock file unless a living process holds it. The file appears under its name with its content or not at all.
 * @returns a function that frees the lock, or undefined when another process holds it
 */
export function tryLock(file) {
  mkdirSync(path.dirname(file), { recursive: true });
  const mine = `${file}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  writeFileSync(mine, JSON.stringify({ pid: process.pid, identity: processIdentity(process.pid) }));
  try {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      try {
        linkSync(mine, file);
        return () => rmSync(file, { force: true });
      } catch (error) {
        if (error.code !== 'EEXIST') throw error;
      }
      if (lockHolder(file) !== undefined) return undefined;
      const stale = `${mine}.stale`;
      try {
        renameSync(file, stale);
      } catch {
        continue;
      }
      // Between the look and the rename another process may have taken the lock: hand it back.
      if (lockHolder(stale) !== undefined) {
        try {
          linkSync(stale, file);
        } catch {}
        rmSync(stale, { force: true });
        return undefined;
      }
      rmSync(stale, { force: true });
    }
    return undefined;
  } finally {
    rmSync(mine, { force: true });
  }
}

/** Runs `work` while holding the lock; waits for a living holder, telling `onWait` its process id once. */
export async function withLock(file, work, onWait = () => {}) {
  let told = false;
  for (;;) {
    const release = tryLock(file);
    if (release !== undefined) {
      try {
        return await work();
      } finally {
        release();
      }
    }
    if (!told) onWait(lockHolder(file));
    told = true;
    await new Promise((resolve) => setTimeout(resolve, pollMilliseconds));
  }
}
