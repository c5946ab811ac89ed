/** When a process that keeps ending is given up. */
export interface RestartPolicy {
  /** Delay before the first restart, in milliseconds; it doubles with every crash within the window. */
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
  /** Crashes within the window after which the process is not started again. */
  readonly mostCrashes: number;
  readonly windowMs: number;
}

export const defaultRestartPolicy: RestartPolicy = {
  firstDelayMs: 250,
  longestDelayMs: 8000,
  mostCrashes: 8,
  windowMs: 120_000,
};

/**
 * Milliseconds to wait before the next restart, or undefined when the process is to be given up.
 * @param crashes times of all crashes in milliseconds, the latest included
 */
export function restartDelay(crashes: readonly number[], now: number, policy: RestartPolicy): number | undefined {
  const recent = crashes.filter((time) => now - time < policy.windowMs).length;
  if (recent >= policy.mostCrashes) return undefined;
  return Math.min(policy.longestDelayMs, policy.firstDelayMs * 2 ** (recent - 1));
}
