import { createRegistry } from '@errata/telemetry';
import { expect, test } from 'vitest';
import { createMetrics, followMembers } from './metrics.js';

test('batches and answers are counted from 0, so that the first of them is an increase', async () => {
  const registry = createRegistry('orchestrator');
  createMetrics(registry);
  const page = await registry.metrics();
  expect(page).toMatch(/^errata_batch_phase_duration_seconds_count\{.*kind="apply",phase="targets".*\} 0$/m);
  expect(page).toMatch(/^errata_batch_phase_duration_seconds_count\{.*kind="revoke",phase="total".*\} 0$/m);
  expect(page).toMatch(/^errata_edits_committed_total\{.*kind="apply".*\} 0$/m);
  expect(page).toMatch(/^errata_edits_asked_total\{.*outcome="missed".*\} 0$/m);
});

test('a server that left is no longer shown, so that no alarm waits for it', async () => {
  const registry = createRegistry('orchestrator');
  const follow = followMembers(createMetrics(registry).workerUp, 'worker');
  const shown = async () =>
    [...(await registry.metrics()).matchAll(/^errata_shard_worker_up\{.*worker="(.*?)".*\} (\d)$/gm)].map(
      ([, worker, up]) => `${worker} ${up}`,
    );
  follow('a:1', 'up');
  follow('b:1', 'up');
  follow('b:1', 'down');
  expect(await shown()).toEqual(['a:1 1', 'b:1 0']);
  follow('b:1', 'left');
  expect(await shown()).toEqual(['a:1 1']);
});
