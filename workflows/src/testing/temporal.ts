import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { bundleWorkflowCode, DefaultLogger, Runtime, type WorkflowBundle } from '@temporalio/worker';

const testServer = process.env.ERRATA_TEST_SERVER ?? '';
const workflowsPath = fileURLToPath(new URL('../../dist/index.js', import.meta.url));

/** Temporal's time-skipping test server, and the workflows as a worker loads them. */
export interface TestTemporal {
  readonly env: TestWorkflowEnvironment;
  readonly bundle: WorkflowBundle;
}

/** One at a time in a process: the logger of the runtime is set, which its teardown lets go. */
export async function startTestTemporal(): Promise<TestTemporal> {
  if (!existsSync(testServer))
    throw new Error('ERRATA_TEST_SERVER must name the time-skipping test server: run `npm test`, which sets it up');
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const [env, bundle] = await Promise.all([
    TestWorkflowEnvironment.createTimeSkipping({ server: { executable: { type: 'existing-path', path: testServer } } }),
    bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('ERROR') }),
  ]);
  return { env, bundle };
}
