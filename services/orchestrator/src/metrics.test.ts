import { createRegistry } from '@errata/telemetry';
import { expect, test } from 'vitest';
import { createMetrics } from './metrics.js';

test('batches and answers are counted from 0, so that the first of them is an increase', async () => {
  const registry = createRegistry('orchestrator');
  createMetrics(registry);
  const page = await registry.metrics();
  expect(page).toMatch(/^errata_batch_phase_duration_seconds_count\{.*kind="apply",phase="targets".*\} 0$/m);
  expect(page).toMatch(/^errata_batch_phase_duration_seconds_count\{.*kind="revoke",phase="total".*\} 0$/m);
  expect(page).toMatch(/^errata_edits_committed_total\{.*kind="apply".*\} 0$/m);
  expect(page).toMatch(/^errata_edits_asked_total\{.*outcome="missed".*\} 0$/m);
});
