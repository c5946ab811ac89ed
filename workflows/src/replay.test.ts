import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker, type WorkflowBundle } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import { beforeAll, expect, test } from 'vitest';

const folder = fileURLToPath(new URL('../history-files/', import.meta.url));
const workflowsPath = fileURLToPath(new URL('../dist/index.js', import.meta.url));
const files = readdirSync(folder).filter((file) => file.endsWith('.json'));
const read = (file: string) => JSON.parse(readFileSync(folder + file, 'utf8'));

let workflowBundle: WorkflowBundle;

beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  workflowBundle = await bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('ERROR') });
});

test('there are recorded histories', () => {
  expect(files.length).toBeGreaterThan(0);
});

test.each(files)('%s replays on the present code', async (file) => {
  await Worker.runReplayHistory({ workflowBundle }, read(file), 'str_replayed');
});

test('a planted mismatch is found', async () => {
  const text = readFileSync(folder + files[0], 'utf8').replaceAll('"applyLayer"', '"verifyBatch"');
  await expect(Worker.runReplayHistory({ workflowBundle }, JSON.parse(text), 'str_planted')).rejects.toBeInstanceOf(
    DeterminismViolationError,
  );
});
