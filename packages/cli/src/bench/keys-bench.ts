import type { EditorConfig } from '@errata/contracts';
import { type EditText, KeyFinder, type Keys } from '@errata/editor';
import { createDelta, disposeDelta, type LayerDelta, type Model } from '@errata/model';
import { benchModel, type ModelBenchOptions, type ModelBenchReport, type ModelBenchRun, timed } from './model-bench.js';
import { createRandom } from './random.js';
import { median } from './statistics.js';

/** Result of `bench keys`: keys and present states of all edited layers, each after the change of the one below. */
export interface KeysReport extends ModelBenchReport {
  readonly secondsPerEdit: number;
  /** One edit at a time, every layer's keys from the embeddings on; the same engine. */
  readonly naiveSecondsPerEdit: number;
  readonly speedupOverNaive: number;
  readonly torchSecondsPerEdit: number | null;
  readonly ratioToTorch: number | null;
  /** Largest difference of a key's entry from the plain way's, over the keys' root mean square. */
  readonly maxKeyDifference: number;
  readonly layers: readonly number[];
  readonly rounds: number;
}

/** Times keys as a batch has them computed: layer after layer, with a change of the batch's rank in between. */
export function benchKeys(
  options: ModelBenchOptions & { readonly rounds: number },
  run: ModelBenchRun,
): Promise<KeysReport> {
  return benchModel(options, run, async ({ model, config, batches, torch, pause }) => {
    const times = { ours: [] as number[], plain: [] as number[], torch: [] as number[] };
    let worst = 0;
    await allKeys(model, batches[0].slice(0, 2), config);
    if (torch) await torch.keys(0);
    for (let round = 0; round < options.rounds; round++)
      for (const [index, edits] of batches.entries()) {
        await pause();
        run.onProgress(`round ${round + 1} of ${options.rounds}, batch ${index + 1} of ${batches.length}`);
        const ours = await timed(() => allKeys(model, edits, config));
        times.ours.push(ours.seconds / edits.length);
        if (torch) times.torch.push((await torch.keys(index)) / edits.length);
        if (round > 0 || index > 0) continue;
        const plain = await timed(() => plainKeys(model, edits, config));
        times.plain.push(plain.seconds / edits.length);
        worst = relativeDifference(ours.result, plain.result);
      }
    const secondsPerEdit = median(times.ours);
    const naiveSecondsPerEdit = median(times.plain);
    return {
      secondsPerEdit,
      naiveSecondsPerEdit,
      speedupOverNaive: naiveSecondsPerEdit / secondsPerEdit,
      torchSecondsPerEdit: torch && median(times.torch),
      ratioToTorch: torch && secondsPerEdit / median(times.torch),
      maxKeyDifference: worst,
      layers: config.layers,
      rounds: options.rounds,
    };
  });
}

/** Keys of each layer, one finder for all of them. */
async function allKeys(model: Model, edits: readonly EditText[], config: EditorConfig): Promise<Keys[]> {
  const finder = new KeyFinder(model);
  try {
    return await climb(model, edits, config, finder);
  } finally {
    finder.dispose();
  }
}

/** The same, one edit at a time and nothing kept from layer to layer. */
async function plainKeys(model: Model, edits: readonly EditText[], config: EditorConfig): Promise<Keys[]> {
  const single: Keys[][] = [];
  for (const edit of edits) single.push(await climb(model, [edit], config, null));
  return config.layers.map((_, layer) => ({
    keys: joined(single.map((keys) => keys[layer].keys)),
    hidden: joined(single.map((keys) => keys[layer].hidden)),
  }));
}

async function climb(
  model: Model,
  edits: readonly EditText[],
  config: EditorConfig,
  kept: KeyFinder | null,
): Promise<Keys[]> {
  const deltas = new Map<number, LayerDelta>();
  const found: Keys[] = [];
  try {
    for (const layer of config.layers) {
      const finder = kept ?? new KeyFinder(model);
      const version = (of: number): string => (deltas.has(of) ? 'changed' : 'base');
      found.push(await finder.find({ edits, config, layer, deltas, version }));
      if (!kept) finder.dispose();
      const change = createDelta(model, layer, smallChange(model, layer, config.batchSize), 'factors');
      if (change) deltas.set(layer, change);
    }
    return found;
  } finally {
    for (const delta of deltas.values()) disposeDelta(delta);
  }
}

function smallChange(model: Model, seed: number, rank: number) {
  const random = createRandom(seed);
  const { hiddenSize, intermediateSize } = model.config;
  const values = (size: number, scale: number): Float32Array =>
    Float32Array.from({ length: rank * size }, () => scale * random.normal());
  return { rank, left: values(hiddenSize, 0.01), right: values(intermediateSize, 0.01) };
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function relativeDifference(ours: readonly Keys[], plain: readonly Keys[]): number {
  let worst = 0;
  for (const [layer, { keys }] of ours.entries()) {
    const scale = Math.sqrt(keys.reduce((sum, x) => sum + x * x, 0) / keys.length);
    for (const [i, value] of keys.entries()) worst = Math.max(worst, Math.abs(value - plain[layer].keys[i]) / scale);
  }
  return worst;
}
