/** Process id of the living process that holds a lock file, if any. */
export function lockHolder(file: string): number | undefined;
/** Takes a lock file and returns what frees it; undefined when a living process holds it. */
export function tryLock(file: string): (() => void) | undefined;
/** Runs `work` while holding the lock; waits for a living holder. */
export function withLock<T>(
  file: string,
  work: () => Promise<T>,
  onWait?: (pid: number | undefined) => void,
): Promise<T>;
