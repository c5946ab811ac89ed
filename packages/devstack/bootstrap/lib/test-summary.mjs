/**
 * The last line of a test run from vitest's JSON report and exit code. A file that could not be loaded, a crash of the
 * runner and a run without any test each count as a failure.
 */
export function summarise(results, exitCode) {
  const notes = [];
  const passed = results?.numPassedTests ?? 0;
  const skipped = (results?.numPendingTests ?? 0) + (results?.numTodoTests ?? 0);
  let failed = results?.numFailedTests ?? 0;
  for (const file of results?.testResults ?? []) {
    const brokenBySetup = file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed');
    if (!brokenBySetup) continue;
    failed += 1;
    notes.push(`${file.name} failed outside its tests`);
  }
  if (results === undefined) {
    failed += 1;
    notes.push(`the test runner ended with code ${exitCode} and without a report`);
  } else if (exitCode !== 0 && failed === 0) {
    failed += 1;
    notes.push(`the test runner ended with code ${exitCode} though no test failed: see above`);
  } else if (passed + failed === 0) {
    failed += 1;
    notes.push('no test was run');
  }
  return { line: `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`, failed, notes };
}
