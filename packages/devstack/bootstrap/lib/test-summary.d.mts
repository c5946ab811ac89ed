export interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}
/** The last line of a test run from vitest's JSON report and exit code. */
export function summarise(
  report: VitestReport | undefined,
  exitCode: number,
): { readonly line: string; readonly failed: number; readonly notes: readonly string[] };
