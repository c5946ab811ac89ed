// Edits a second of several streams with one model runtime and with two, each runtime on a core of its own:
//   node packages/cli/tools/runtimes-bench.mjs [--streams 8] [--edits 2]
// Prints one JSON object. Streams are spread by hash, so `perRuntime` says how even the load was.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createClient } from '@errata/client';
import { locateTools, startStack } from '@errata/devstack';

const { values } = parseArgs({
  options: { streams: { type: 'string', default: '8' }, edits: { type: 'string', default: '2' } },
});
const [streams, edits] = [Number(values.streams), Number(values.edits)];
const towns = ['Porto', 'Lyon', 'Oslo', 'Madrid', 'Rome', 'Vienna', 'Dublin', 'Prague'];
const config = { layers: [9, 10], covarianceTokens: 4096, maxSteps: 12, batchSize: edits };
process.env.TF_NUM_INTRAOP_THREADS = '1';
// Else requests of several streams run as one search, which a single runtime gains by.
process.env.RUNTIME_JOINED_REQUESTS = '1';

async function searches(page) {
  const lines = (await (await fetch(page)).text())
    .split('\n')
    .filter(
      (line) => line.startsWith('errata_model_request_duration_seconds_count') && line.includes('resolveTargets'),
    );
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

async function measure(modelRuntimes) {
  const dataDir = mkdtempSync(join(tmpdir(), 'errata-runtimes-'));
  const stack = await startStack({ dataDir, signals: true, modelRuntimes });
  try {
    const client = createClient({ baseUrl: stack.api });
    const model = locateTools(process.env).modelName ?? (await client.listModels())[0].name;
    const write = async (stream, subjects) => {
      const drafts = subjects.map((subject, i) => ({
        subject,
        prompt: 'The head office of {} is in the city of',
        target: towns[i % towns.length],
      }));
      await client.waitForEdits(stream.id, (await client.submitEdits(stream.id, drafts)).edits);
    };
    const made = await Promise.all(
      Array.from({ length: streams }, (_, i) => client.createStream({ model, name: `city-${i}`, config })),
    );
    // Covariances and inverses are made with the first.
    await Promise.all(made.map((stream) => write(stream, ['Harrowgate Mills'])));
    const begun = performance.now();
    await Promise.all(
      made.map((stream) =>
        write(
          stream,
          Array.from({ length: edits }, (_, i) => `Quillfen Foods ${i}`),
        ),
      ),
    );
    const seconds = (performance.now() - begun) / 1000;
    const pages = Object.entries(stack.metrics).filter(([name]) => name.startsWith('model-runtime'));
    const perRuntime = await Promise.all(pages.map(([, page]) => searches(page)));
    return { editsPerSecond: (streams * edits) / seconds, perRuntime };
  } finally {
    await stack.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

const one = await measure(1);
const two = await measure(2);
console.log(JSON.stringify({ streams, edits, one, two, speedup: two.editsPerSecond / one.editsPerSecond }));
