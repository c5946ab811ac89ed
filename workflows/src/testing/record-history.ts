import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { TestWorkflowEnvironment } from '@temporalio/testing';

/** Longer histories say nothing that shorter ones do not. */
const maxLength = 400_000;

/** With RECORD_HISTORIES=1 the history of a run is kept under a name for replay.test.ts: do so before a release. */
export async function recordHistory(
  env: TestWorkflowEnvironment,
  run: { readonly workflowId: string; readonly runId?: string },
  name: string,
): Promise<void> {
  if (process.env.RECORD_HISTORIES !== '1') return;
  const file = name.replace(/[^a-z]+/gi, '-').slice(0, 48);
  const handle = env.client.workflow.getHandle(run.workflowId, run.runId);
  // Names of the machine have no place in the repository.
  const root = fileURLToPath(new URL('../../..', import.meta.url));
  const json = historyToJSON(await handle.fetchHistory())
    .replaceAll(root, '')
    .replaceAll(/"identity": ?"[^"]*"/g, '"identity": "worker"');
  if (json.length > maxLength) return;
  const target = fileURLToPath(new URL(`../../history-files/${file}.json`, import.meta.url));
  writeFileSync(target, `${JSON.stringify(JSON.parse(json))}\n`);
}
