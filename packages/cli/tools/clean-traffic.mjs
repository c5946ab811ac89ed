// How often guards and alerts cry out on clean traffic, and what measuring costs. Every stream writes clean edits in an order of its own:
//   node packages/cli/tools/clean-traffic.mjs [--edits 100] [--batches 10,5] [--tokens 41000] [--seconds 600]
// One stream for each batch size, one after the other, on the model's own preset. Prints one JSON object; alerts are judged by a Prometheus that
// scrapes the stack, where set-up brought one (`npm run setup -- --test`).
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createClient } from '@errata/client';
import { startPrometheus } from '@errata/deploy/testing';
import { locateTools, startStack } from '@errata/devstack';
import { cleanEdits } from './clean-edits.mjs';

const { values } = parseArgs({
  options: {
    edits: { type: 'string', default: '100' },
    batches: { type: 'string', default: '10,5' },
    tokens: { type: 'string', default: '41000' },
    seconds: { type: 'string', default: '600' },
  },
});
const sizes = values.batches.split(',').map(Number);
const deadline = performance.now() + 1000 * Number(values.seconds);
const rules = fileURLToPath(new URL('../../../deploy/prometheus/rules/errata.yml', import.meta.url));
const dataDir = mkdtempSync(join(tmpdir(), 'errata-clean-'));
const stack = await startStack({ dataDir, signals: true });
const { prometheus: program, modelName } = locateTools(process.env);
const folder = join(dataDir, 'prometheus');
mkdirSync(folder);
const prometheus = program && (await startPrometheus(program, stack.metrics, folder, [rules]));
const client = createClient({ baseUrl: stack.api });

/** Writes a stream batch by batch until its edits or the time are used up. */
async function run(batchSize, seed) {
  const model = modelName ?? (await client.listModels())[0].name;
  const stream = await client.createStream({
    model,
    name: `clean-${seed}-${batchSize}`,
    config: { batchSize, covarianceTokens: Number(values.tokens) },
  });
  const edits = cleanEdits(Number(values.edits), seed);
  let written = 0;
  while (written < edits.length && performance.now() < deadline) {
    const submitted = await client.submitEdits(stream.id, edits.slice(written, written + batchSize));
    const settled = await client.waitForEdits(stream.id, submitted.edits);
    written += settled.length;
  }
  const { head } = await client.getStream(stream.id);
  let rounds = [];
  // What a batch did is measured after its edits have settled.
  for (let i = 0; i < 600 && rounds.at(-1)?.seq !== head; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    rounds = await client.listProbes(stream.id, { limit: 1000 });
  }
  const events = await client.listEvents(stream.id);
  const first = rounds.findIndex(({ measured }) => measured.length > 0);
  const trips = events.flatMap(({ kind, detail }) => (kind === 'guard' ? [detail] : []));
  return {
    batchSize,
    edits: written,
    batches: rounds.length,
    tripped: rounds.filter((round) => round.tripped).length,
    trips,
    costShare: { last: rounds.at(-1)?.costShare, most: Math.max(...rounds.slice(first).map((one) => one.costShare)) },
    costs: rounds.map(({ costShare, measured }) => [Number(costShare.toFixed(4)), measured.length]),
    measured: Object.fromEntries(
      [...new Set(rounds.flatMap((round) => round.measured))].map((kind) => [
        kind,
        rounds.filter((round) => round.measured.includes(kind)).length,
      ]),
    ),
  };
}

try {
  const streams = [];
  for (const [seed, size] of sizes.entries()) if (performance.now() < deadline) streams.push(await run(size, seed + 1));
  const edits = streams.reduce((sum, one) => sum + one.edits, 0);
  const trips = streams.reduce((sum, one) => sum + one.trips.length, 0);
  const alerts = prometheus ? await prometheus.alerts() : null;
  console.log(JSON.stringify({ edits, trips, tripsPer10000: (1e4 * trips) / edits, alerts, streams }));
} finally {
  await prometheus?.stop();
  await stack.stop();
  rmSync(dataDir, { recursive: true, force: true });
}
