/** What one check found. `warn` means: works, but less well. */
export interface Finding {
  readonly name: string;
  readonly state: 'ok' | 'warn' | 'fail';
  readonly detail: string;
  /** What to do, where something is to be done. */
  readonly remedy?: string;
  /** What could have been taken instead, and why it was or was not. */
  readonly candidates?: readonly Candidate[];
  /** What was measured, by precision. */
  readonly rates?: readonly Rates[];
}

export interface Candidate {
  readonly name: string;
  readonly taken: boolean;
  readonly reason: string;
}

export interface Rates {
  readonly precision: 'fp32' | 'fp64';
  /** Of a large square product, 10⁹ operations a second. */
  readonly gflops: number;
  /** Of memory, 10⁹ bytes read and written a second. */
  readonly gigabytesPerSecond: number;
}

export type Check = () => Promise<Finding>;

/** Runs checks side by side; one that throws is a failed one. Findings come in the order of the checks. */
export function runChecks(checks: Readonly<Record<string, Check>>): Promise<Finding[]> {
  return Promise.all(
    Object.entries(checks).map(async ([name, check]): Promise<Finding> => {
      try {
        return await check();
      } catch (error) {
        return { name, state: 'fail', detail: error instanceof Error ? error.message : String(error) };
      }
    }),
  );
}

const marks = { ok: '✓', warn: '!', fail: '✗' } as const;

/** Findings for people: one line each, and below it what to do. */
export function findingsText(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map((finding) => finding.name.length));
  return findings
    .map(({ name, state, detail, remedy, candidates = [] }) => {
      const below = candidates.map(({ name, taken, reason }) => `${taken ? '•' : '·'} ${name}: ${reason}`);
      if (remedy !== undefined) below.push(`→ ${remedy}`);
      return [`${marks[state]} ${name.padEnd(width)}  ${detail}`, ...below].join(`\n  ${' '.repeat(width)}  `);
    })
    .join('\n');
}
