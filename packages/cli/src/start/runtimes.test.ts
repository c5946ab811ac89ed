import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient, type ErrataClient } from '@errata/client';
import { type Stack, startStack } from '@errata/devstack';
import { afterAll, beforeAll, expect, test } from 'vitest';

// Streams spread over two model runtimes, one of which goes away.
const minutes = 60_000;
const model = process.env.MODEL_NAME ?? 'SmolLM2-135M-Instruct';
const dataDir = mkdtempSync(join(tmpdir(), 'errata-runtimes-'));
chmodSync(dataDir, 0o755);
let stack: Stack;
let client: ErrataClient;

beforeAll(async () => {
  stack = await startStack({ dataDir, signals: false, modelRuntimes: 2 });
  client = createClient({ baseUrl: stack.api });
}, 5 * minutes);
afterAll(async () => {
  await stack?.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

const names = ['model-runtime', 'model-runtime-2'];

/** Target searches that a runtime has answered. */
async function searches(name: string): Promise<number> {
  const page = await (await fetch(stack.metrics[name])).text();
  const lines = page
    .split('\n')
    .filter(
      (line) =>
        line.startsWith('errata_model_request_duration_seconds_count') && line.includes('method="resolveTargets"'),
    );
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

test(
  'streams are spread over both, and what one held goes on with the other, nothing lost',
  async () => {
    const config = { layers: [9, 10], covarianceTokens: 4096, maxSteps: 12, batchSize: 1 };
    const towns = ['Porto', 'Lyon', 'Oslo', 'Madrid'];
    const prompt = 'The head office of {} is in the city of';
    const streams = await Promise.all(towns.map((_, i) => client.createStream({ model, name: `city-${i}`, config })));
    const write = (subject: string) =>
      Promise.all(
        streams.map(async (stream, i) => {
          const { edits } = await client.submitEdits(stream.id, [{ subject, prompt, target: towns[i] }]);
          return { stream, edits };
        }),
      );
    const settled = async (written: Awaited<ReturnType<typeof write>>) => {
      for (const { stream, edits } of written)
        expect((await client.waitForEdits(stream.id, edits)).map(({ status }) => status)).toEqual(['verified']);
    };
    await settled(await write('Quillfen Foods'));
    const each = await Promise.all(names.map(searches));
    expect(each[0] + each[1]).toBeGreaterThanOrEqual(towns.length);

    const lost = each[0] >= each[1] ? names[0] : names[1];
    const second = await write('Astrelle Cargo');
    await stack.takeDown(lost);
    await settled(second);
    for (const { id } of streams) {
      const log = await client.verify(id, { deep: true });
      expect(log).toMatchObject({ ok: true, problems: [] });
      for (const layer of log.deep ?? []) expect(layer).toMatchObject({ survivingColumns: 2 });
    }
    await stack.bringBack(lost);
  },
  10 * minutes,
);
