import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient, type ErrataClient } from '@errata/client';
import { type Stack, startStack } from '@errata/devstack';
import { afterAll, beforeAll, expect, test } from 'vitest';

// Two orchestrators of different capabilities, one of which goes away.
const minutes = 60_000;
const model = process.env.MODEL_NAME ?? 'SmolLM2-135M-Instruct';
const dataDir = mkdtempSync(join(tmpdir(), 'errata-capabilities-'));
chmodSync(dataDir, 0o755);
let stack: Stack;
let client: ErrataClient;

beforeAll(async () => {
  stack = await startStack({ dataDir, signals: false, orchestrators: [['streams', 'model'], ['files']] });
  client = createClient({ baseUrl: stack.api });
}, 5 * minutes);
afterAll(async () => {
  await stack?.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

/** Activities that an orchestrator has carried out well, by kind. */
async function carriedOut(name: string): Promise<string[]> {
  const page = await (await fetch(stack.metrics[name])).text();
  return [...page.matchAll(/^errata_activity_duration_seconds_count\{.*activity="(\w+)",outcome="ok"/gm)].map(
    ([, activity]) => activity,
  );
}
const pollers = async () =>
  Object.fromEntries((await client.listTaskQueues()).map(({ capability, pollers }) => [capability, pollers]));

test(
  'a batch and an export are carried by two orchestrators; without the one for files edits go on, and it is said',
  async () => {
    await expect.poll(pollers, { timeout: minutes }).toEqual({ streams: 1, model: 1, files: 1 });
    const config = { layers: [9, 10], covarianceTokens: 4096, maxSteps: 12, batchSize: 1 };
    const { id } = await client.createStream({ model, name: 'capabilities', config });
    const write = async (subject: string, target: string) => {
      const prompt = 'The head office of {} is in the city of';
      const { edits } = await client.submitEdits(id, [{ subject, prompt, target }]);
      expect((await client.waitForEdits(id, edits)).map(({ status }) => status)).toEqual(['verified']);
    };
    await write('Quillfen Foods', 'Porto');
    const first = await client.createExport(id, { format: 'peft' });
    expect((await client.waitForExport(first)).status).toBe('done');
    expect(await carriedOut('orchestrator')).toEqual(expect.arrayContaining(['nextWork', 'applyLayer', 'commitBatch']));
    expect(await carriedOut('orchestrator')).not.toContain('runExport');
    expect(await carriedOut('orchestrator-2')).toEqual(['runExport']);

    await stack.takeDown('orchestrator-2');
    const second = await client.createExport(id, { format: 'safetensors', dtype: 'fp16' });
    await write('Astrelle Cargo', 'Lyon');
    await expect.poll(pollers, { timeout: 3 * minutes, interval: 2000 }).toEqual({ streams: 1, model: 1, files: 0 });
    const files = (await client.listTaskQueues()).find(({ capability }) => capability === 'files');
    expect(files).toMatchObject({ backlog: 1, remedy: expect.stringContaining('ORCHESTRATOR_CAPABILITIES') });
    const page = await (await fetch(stack.metrics.gateway)).text();
    expect(page).toMatch(/errata_task_queue_pollers\{.*capability="files".*\} 0$/m);
    expect((await client.getExport(id, second.id)).status).not.toBe('done');

    await stack.bringBack('orchestrator-2');
    expect((await client.waitForExport(second)).status).toBe('done');
    expect((await client.verify(id, { deep: true })).ok).toBe(true);
  },
  10 * minutes,
);
