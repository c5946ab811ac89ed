import type { EditorConfig } from '@errata/contracts';
import { KeyFinder, type Preset, resolveTargets } from '@errata/editor';
import { type Model, secondMoments } from '@errata/model';
import { createInverse, createState, type RlsParts } from '@errata/rls';
import { createRandom } from '../bench/random.js';
import { sequences } from '../bench/real-keys.js';
import { anchorOf, keyGains, measureBaseline, middle, runTrial, type TrialEdit, type TrialResult } from './trial.js';

/** What 1 + kᵀC₀k should be: the middle, on a logarithmic scale, of the 10 to 60 in which edits take and neighbours stay. */
const WANTED_GAIN = 25;
/** Layers edited together, fewer in a shallow model. */
const WINDOW = 5;
/** Depths, as shares of the layers, between which the last edited layer is looked for. */
const DEPTHS = [0.15, 0.6] as const;
/** Last layers looked at, and of those how many are tried out. */
const CANDIDATES = 8;
const TRIED_WINDOWS = 3;
/** Steps of the search that rank the last layers. */
const RANKING_STEPS = 3;
const CLAMPS = [0.5, 0.75, 1] as const;
/** Least tokens of a covariance, in inputs of a layer: fewer leave it nearly singular. */
const TOKENS_AN_INPUT = 4;

/** Search settings that serve where nothing is known of a model. */
export const startingConfig: EditorConfig = {
  layers: [0],
  lambda: 0,
  mu: 1,
  covarianceWeight: 1000,
  covarianceTokens: 41_000,
  batchSize: 10,
  templates: ['{}', 'What people want to know is this. {}', 'Here is a fact from the notes of today. {}'],
  learningRate: 1,
  maxSteps: 20,
  stopLoss: 0.08,
  clamp: 0.75,
  klWeight: 0.0625,
  weightDecay: 0.5,
  conditioning: 'raise-lambda',
};

export interface TuneOptions {
  readonly edits: readonly TrialEdit[];
  /** Most edits of the sample. */
  readonly sample: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  onProgress(text: string): void;
}

/** A configuration that was tried, and what it gave. */
export interface Trial extends TrialResult {
  readonly layers: readonly number[];
  readonly covarianceWeight: number;
  readonly clamp: number;
}

export interface TuneResult {
  readonly preset: Preset;
  readonly trials: readonly Trial[];
}

/**
 * Chooses layers, w and clamp for a model by trying them on a sample of edits: last layers are ranked by the loss that a
 * few steps of the search reach, w follows from the keys of the edits, and of the best windows and then of the clamps the one
 * with the highest harmonic mean of rewrite, paraphrase and locality wins. Deterministic given the seed.
 * @throws Error when no candidate fits the model
 */
export async function tune(model: Model, parts: RlsParts, options: TuneOptions): Promise<TuneResult> {
  const edits = shuffled(options.edits, options.seed).slice(0, options.sample);
  const { signal, onProgress } = options;
  onProgress('asking the unedited model');
  const baseline = await measureBaseline(model, edits);
  const windows = await rankWindows(model, edits, options);
  const tokens = Math.max(8192, TOKENS_AN_INPUT * model.config.intermediateSize);
  const layers = [...new Set(windows.flat())].sort((a, b) => a - b);
  const moments = await momentsOf(model, layers, tokens, options);

  const trials: Trial[] = [];
  const attempt = async (config: EditorConfig): Promise<Trial> => {
    const { layers, covarianceWeight, clamp } = config;
    onProgress(`trying layers ${layers.join(', ')}, w ${covarianceWeight}, clamp ${clamp}`);
    const result = await runTrial({ model, parts, moments, signal }, edits, baseline, config);
    const trial = { layers, covarianceWeight, clamp, ...result };
    trials.push(trial);
    return trial;
  };
  for (const window of windows) {
    signal.throwIfAborted();
    const config = { ...startingConfig, layers: window };
    const covarianceWeight = await chooseWeight({ model, parts, moments }, edits, config);
    await attempt({ ...config, covarianceWeight });
  }
  const { layers: best, covarianceWeight } = highest(trials);
  const chosen = { ...startingConfig, layers: [...best], covarianceWeight };
  for (const clamp of CLAMPS) if (clamp !== startingConfig.clamp) await attempt({ ...chosen, clamp });
  const { clamp, ...found } = highest(trials);
  return {
    trials,
    preset: presetOf(
      model,
      { ...chosen, layers: [...found.layers], covarianceWeight: found.covarianceWeight, clamp },
      {
        edits: edits.length,
        found,
        seed: options.seed,
      },
    ),
  };
}

/** The windows whose last layers reach the lowest loss in a few steps. */
async function rankWindows(
  model: Model,
  edits: readonly TrialEdit[],
  { onProgress, signal }: TuneOptions,
): Promise<number[][]> {
  const depth = model.config.layers;
  // One layer at least stays above the edited ones: the search goes through it.
  const [first, last] = [Math.min(WINDOW - 1, depth - 2), depth - 2].map((layer) => Math.max(0, layer));
  const from = Math.max(first, Math.round(DEPTHS[0] * depth));
  const to = Math.max(from, Math.min(last, Math.round(DEPTHS[1] * depth)));
  const ends = [
    ...new Set(Array.from({ length: CANDIDATES }, (_, i) => Math.round(from + ((to - from) * i) / (CANDIDATES - 1)))),
  ];
  const few = edits.slice(0, 5);
  const ranked: { end: number; loss: number }[] = [];
  for (const end of ends) {
    signal.throwIfAborted();
    onProgress(`how far a few steps come at layer ${end}`);
    const config = { ...startingConfig, layers: [end], maxSteps: RANKING_STEPS + 1 };
    const { figures } = await resolveTargets(model, few, config);
    ranked.push({ end, loss: figures.reduce((sum, { losses }) => sum + losses[losses.length - 1], 0) });
  }
  ranked.sort((a, b) => a.loss - b.loss || a.end - b.end);
  return ranked.slice(0, TRIED_WINDOWS).map(({ end }) => {
    const begin = Math.max(0, end - WINDOW + 1);
    return Array.from({ length: end - begin + 1 }, (_, i) => begin + i);
  });
}

async function momentsOf(
  model: Model,
  layers: readonly number[],
  tokens: number,
  { onProgress }: TuneOptions,
): Promise<ReadonlyMap<number, Float32Array>> {
  const texts: number[][] = [];
  let count = 0;
  for (const ids of sequences(model)) {
    if (count >= tokens) break;
    texts.push(ids);
    count += ids.length;
  }
  const { moments } = await secondMoments(model, texts, layers, {
    onProgress: (done) => onProgress(`covariance: ${done} of ${count} tokens`),
  });
  return moments;
}

/** With λ = 0, C₀ goes with 1/w, so the keys of the edits under any w say which w gives the wanted 1 + kᵀC₀k. */
async function chooseWeight(
  { model, parts, moments }: { model: Model; parts: RlsParts; moments: ReadonlyMap<number, Float32Array> },
  edits: readonly TrialEdit[],
  config: EditorConfig,
): Promise<number> {
  const layer = config.layers[config.layers.length - 1];
  const finder = new KeyFinder(model);
  const inverse = await createInverse(parts, anchorOf(model, moments, layer, config), { policy: 'raise-lambda' });
  const state = await createState(parts, inverse, { outputs: model.config.hiddenSize });
  try {
    const found = await finder.find({ edits, config, layer, deltas: new Map(), version: () => 'base' });
    const keys = { length: inverse.dimension, count: edits.length, data: Float64Array.from(found.keys) };
    const present = middle(keyGains(keys, await state.inverseTimes(keys))) - 1;
    return Number(((config.covarianceWeight * present) / (WANTED_GAIN - 1)).toPrecision(2));
  } finally {
    finder.dispose();
    state.dispose();
    inverse.dispose();
  }
}

function highest(trials: readonly Trial[]): Trial {
  return trials.reduce((best, trial) => (trial.score > best.score ? trial : best));
}

function presetOf(
  model: Model,
  config: EditorConfig,
  {
    edits,
    found,
    seed,
  }: { edits: number; found: Pick<TrialResult, 'rewrite' | 'paraphrase' | 'neighbours'>; seed: number },
): Preset {
  const { architecture, layers, hiddenSize, intermediateSize, name } = model.config;
  const percent = (share: number) => `${Math.round(100 * share)} %`;
  return {
    models: [name],
    shape: { architecture, layers, hiddenSize },
    verified: true,
    source: `errata tune, seed ${seed}, ${edits} edits: rewrite ${percent(found.rewrite)}, paraphrase ${percent(found.paraphrase)}, neighbours kept ${percent(found.neighbours)}`,
    // A covariance of a stream is made once: it may have more tokens than the trials'.
    config: { ...config, covarianceTokens: Math.max(config.covarianceTokens, 10 * intermediateSize) },
  };
}

/** Fisher and Yates. */
function shuffled<Item>(items: readonly Item[], seed: number): Item[] {
  const random = createRandom(seed);
  const mixed = [...items];
  for (let i = mixed.length - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    [mixed[i], mixed[j]] = [mixed[j], mixed[i]];
  }
  return mixed;
}
