import type { EditorConfig } from '@errata/contracts';
import { type EditText, KeyFinder, resolveTargets } from '@errata/editor';
import {
  createDelta,
  type Deltas,
  disposeDelta,
  generate,
  type LayerDelta,
  type Model,
  scoreContinuations,
} from '@errata/model';
import { createInverse, createState, type LayerState, type RlsParts, type Update } from '@errata/rls';
import { appendUpdate } from '../bench/accuracy-state.js';

/** An edit with what tells whether it holds. */
export interface TrialEdit extends EditText {
  readonly paraphrases: readonly string[];
  readonly neighbours: readonly string[];
}

/** What the unedited model answers to each edit's paraphrases and neighbours, as many tokens as the target has. */
export type Baseline = readonly { readonly paraphrases: readonly string[]; readonly neighbours: readonly string[] }[];

/** Shares, 0 to 1, after all edits of a trial. */
export interface TrialResult {
  /** Edits whose prompt is continued with exactly the target. */
  readonly rewrite: number;
  /** Paraphrases that prefer the target to the earlier answer. */
  readonly paraphrase: number;
  /** Neighbours that prefer their earlier answer. */
  readonly neighbours: number;
  /** Harmonic mean of the three. */
  readonly score: number;
  readonly targetSecondsPerEdit: number;
  /** Median of 1 + kᵀC₀k over the edits of the first batch and all layers. */
  readonly keyGain: number;
}

export interface TrialParts {
  readonly model: Model;
  readonly parts: RlsParts;
  /** Mean x xᵀ of the layers' inputs, by layer. */
  readonly moments: ReadonlyMap<number, Float32Array>;
  readonly signal: AbortSignal;
}

/** @throws ModelError PROMPT_TOO_LONG, EMPTY_TOKENS */
export async function measureBaseline(model: Model, edits: readonly TrialEdit[]): Promise<Baseline> {
  const found = [];
  for (const { target, paraphrases, neighbours } of edits) {
    const maxTokens = model.tokenizer.ids(` ${target}`).length;
    const answers = await generate(model, [...paraphrases, ...neighbours], { maxTokens });
    found.push({ paraphrases: answers.slice(0, paraphrases.length), neighbours: answers.slice(paraphrases.length) });
  }
  return found;
}

/** Writes edits into the model's weights, batch by batch as a stream does, and asks it again. */
export async function runTrial(
  { model, parts, moments, signal }: TrialParts,
  edits: readonly TrialEdit[],
  baseline: Baseline,
  config: EditorConfig,
): Promise<TrialResult> {
  const states = new Map<number, LayerState>();
  const written = new Map<number, Update[]>(config.layers.map((layer) => [layer, []]));
  const inverses = [];
  const deltas = new Map<number, LayerDelta>();
  const finder = new KeyFinder(model);
  const gains: number[] = [];
  let targetSeconds = 0;
  try {
    for (const layer of config.layers) {
      const inverse = await createInverse(parts, anchorOf(model, moments, layer, config), {
        policy: 'raise-lambda',
        signal,
      });
      inverses.push(inverse);
      const options = { outputs: model.config.hiddenSize, batch: config.batchSize };
      states.set(layer, await createState(parts, inverse, options));
    }
    for (let at = 0, seq = 1; at < edits.length; at += config.batchSize, seq++) {
      signal.throwIfAborted();
      const batch = edits.slice(at, at + config.batchSize);
      const begun = performance.now();
      const { targets } = await resolveTargets(model, batch, config, { deltas });
      targetSeconds += (performance.now() - begun) / 1000;
      for (const [i, layer] of config.layers.entries()) {
        const version = (of: number): string => String(written.get(of)?.length ?? 0);
        const found = await finder.find({ edits: batch, config, layer, deltas, version });
        const left = config.layers.length - i;
        const residual = Float64Array.from(targets, (z, j) => (z - found.hidden[j]) / left);
        const columns = (data: Float64Array, length: number) => ({ length, count: batch.length, data });
        const state = states.get(layer) as LayerState;
        const keys = columns(Float64Array.from(found.keys), model.config.intermediateSize);
        if (seq === 1) gains.push(...keyGains(keys, await state.inverseTimes(keys)));
        const update = await state.apply(keys, columns(residual, model.config.hiddenSize));
        await appendUpdate(state, seq, update);
        written.get(layer)?.push(update);
        replaceDelta(model, deltas, layer, written.get(layer) as Update[]);
      }
    }
    return {
      ...(await measure(model, edits, baseline, deltas)),
      targetSecondsPerEdit: targetSeconds / edits.length,
      keyGain: middle(gains),
    };
  } finally {
    finder.dispose();
    for (const delta of deltas.values()) disposeDelta(delta);
    for (const state of states.values()) state.dispose();
    for (const inverse of inverses) inverse.dispose();
  }
}

/** What A₀ of a layer is made of. */
export function anchorOf(
  model: Model,
  moments: TrialParts['moments'],
  layer: number,
  { lambda, mu, covarianceWeight }: Pick<EditorConfig, 'lambda' | 'mu' | 'covarianceWeight'>,
) {
  const moment = moments.get(layer);
  if (!moment) throw new Error(`no covariance of layer ${layer}`);
  return { dimension: model.config.intermediateSize, moment, covarianceWeight, lambda, mu };
}

async function measure(model: Model, edits: readonly TrialEdit[], baseline: Baseline, deltas: Deltas) {
  const score = (items: { prompt: string; continuation: string }[]) => scoreContinuations(model, items, { deltas });
  const rewrites = await score(
    edits.map((edit) => ({ prompt: edit.prompt.replace('{}', () => edit.subject ?? ''), continuation: edit.target })),
  );
  const prefers = async (kind: 'paraphrases' | 'neighbours'): Promise<number> => {
    const items = edits.flatMap((edit, e) =>
      edit[kind].flatMap((prompt, i) => {
        const before = baseline[e][kind][i];
        if (before.trim() === '' || before.trim() === edit.target) return [];
        return [
          { prompt, continuation: edit.target },
          { prompt, continuation: before },
        ];
      }),
    );
    const scores = await score(items);
    const pairs = scores.length / 2;
    let wins = 0;
    for (let i = 0; i < pairs; i++) if (scores[2 * i].nll < scores[2 * i + 1].nll) wins++;
    return pairs === 0 ? 1 : wins / pairs;
  };
  const rewrite = rewrites.filter((found) => found.exact).length / edits.length;
  const paraphrase = await prefers('paraphrases');
  const neighbours = 1 - (await prefers('neighbours'));
  const all = [rewrite, paraphrase, neighbours];
  const mean = all.some((share) => share === 0) ? 0 : 3 / all.reduce((sum, share) => sum + 1 / share, 0);
  return { rewrite, paraphrase, neighbours, score: mean };
}

function replaceDelta(model: Model, deltas: Map<number, LayerDelta>, layer: number, updates: readonly Update[]): void {
  const old = deltas.get(layer);
  const joined = (part: 'g' | 'b') => Float32Array.from(updates.flatMap((update) => [...update[part].data]));
  const rank = updates.reduce((sum, update) => sum + update.g.count, 0);
  const next = createDelta(model, layer, { rank, left: joined('b'), right: joined('g') });
  if (old) disposeDelta(old);
  if (next) deltas.set(layer, next);
}

interface Columns {
  readonly length: number;
  readonly count: number;
  readonly data: Float64Array;
}

/** 1 + kᵀCk of each key. */
export function keyGains(keys: Columns, product: Columns): number[] {
  return Array.from({ length: keys.count }, (_, column) => {
    let gain = 1;
    for (let i = column * keys.length; i < (column + 1) * keys.length; i++) gain += keys.data[i] * product.data[i];
    return gain;
  });
}

export function middle(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}
