import { embed, forward, logits, pickRows } from './forward.js';
import { logitPositions } from './head.js';
import { createLayout } from './layout.js';
import { scoped } from './memory.js';
import { checkTokens, continuationIds, promptIds } from './prompt.js';
import type { Deltas, Model, Pause, Tensor } from './types.js';

/** Tokens run through the model together: enough to keep the cores busy, little enough for cancellation to be felt. */
const chunkTokens = 1024;

/** Log-likelihood of a continuation. */
export interface Score {
  /** Mean negative log-likelihood a token, in nats. */
  readonly nll: number;
  /** Whether greedy decoding yields exactly this continuation. */
  readonly exact: boolean;
  readonly tokens: number;
}

export interface RunState {
  readonly deltas?: Deltas;
  readonly pause?: Pause;
}

interface Wanted {
  readonly item: number;
  readonly position: number;
  readonly token: number;
}

interface ScoredRow {
  readonly ids: readonly number[];
  readonly wanted: Wanted[];
}

/**
 * Scores continuations of prompts, batched by similar length; rows that several items share are run once.
 * @throws ModelError PROMPT_TOO_LONG, EMPTY_TOKENS
 */
export async function scoreContinuations(
  model: Model,
  items: readonly { readonly prompt: string; readonly continuation: string }[],
  state: RunState = {},
): Promise<Score[]> {
  const rows = new Map<string, ScoredRow>();
  const counts = items.map(({ prompt, continuation }, item) => {
    const before = promptIds(model, prompt);
    const tokens = continuationIds(model, continuation);
    const ids = [...before, ...tokens.slice(0, -1)];
    checkTokens(model, ids.length, prompt);
    const key = ids.join();
    const row = rows.get(key) ?? { ids, wanted: [] };
    tokens.forEach((token, j) => {
      row.wanted.push({ item, position: before.length - 1 + j, token });
    });
    rows.set(key, row);
    return tokens.length;
  });

  const sums = new Float64Array(items.length);
  const exact = items.map(() => true);
  for (const chunk of chunksOfTokens([...rows.values()])) {
    const results = await tokenScores(model, chunk, state);
    for (const { item, logProbability, best } of results) {
      sums[item] -= logProbability;
      if (!best) exact[item] = false;
    }
  }
  return counts.map((tokens, item) => ({ nll: sums[item] / tokens, exact: exact[item], tokens }));
}

/**
 * Perplexity of windows of token ids, each behind the sink; every id is predicted once.
 * @throws ModelError PROMPT_TOO_LONG
 */
export async function perplexity(
  model: Model,
  windows: readonly (readonly number[])[],
  state: RunState = {},
): Promise<{ perplexity: number; tokens: number }> {
  const rows = windows.map((window, item): ScoredRow => {
    checkTokens(model, window.length, 'window');
    return {
      ids: [model.sinkId, ...window.slice(0, -1)],
      wanted: window.map((token, position) => ({ item, position, token })),
    };
  });
  let sum = 0;
  let tokens = 0;
  for (const chunk of chunksOfTokens(rows))
    for (const { logProbability } of await tokenScores(model, chunk, state)) {
      sum -= logProbability;
      tokens++;
    }
  return { perplexity: Math.exp(sum / tokens), tokens };
}

function* chunksOfTokens(rows: readonly ScoredRow[]): Generator<ScoredRow[]> {
  const sorted = [...rows].sort((a, b) => a.ids.length - b.ids.length);
  let chunk: ScoredRow[] = [];
  let tokens = 0;
  for (const row of sorted) {
    if (chunk.length > 0 && tokens + row.ids.length > chunkTokens) {
      yield chunk;
      chunk = [];
      tokens = 0;
    }
    chunk.push(row);
    tokens += row.ids.length;
  }
  if (chunk.length > 0) yield chunk;
}

async function tokenScores(
  model: Model,
  rows: readonly ScoredRow[],
  state: RunState,
): Promise<{ item: number; logProbability: number; best: boolean }[]> {
  const { tf } = model.engine;
  const layout = createLayout(
    tf,
    model.config,
    rows.map((row) => ({ first: 0, count: row.ids.length })),
  );
  const embedded = embed(
    model,
    rows.flatMap((row) => row.ids),
  );
  let hidden: Tensor | undefined;
  try {
    ({ hidden } = await forward(model, embedded, layout, state));
    const wanted = rows.flatMap((row, r) =>
      row.wanted.map((w) => ({ item: w.item, packed: layout.starts[r] + w.position, token: w.token })),
    );
    const results: { item: number; logProbability: number; best: boolean }[] = [];
    const chunkPositions = logitPositions(model.config);
    for (let at = 0; at < wanted.length; at += chunkPositions) {
      const part = wanted.slice(at, at + chunkPositions);
      const { own, top, norm } = targetLogits(model, hidden, part);
      const [owns, tops, norms] = await Promise.all([own.data(), top.data(), norm.data()]);
      tf.dispose([own, top, norm]);
      part.forEach(({ item, token }, i) => {
        results.push({ item, logProbability: owns[i] - norms[i], best: tops[i] === token });
      });
      await state.pause?.();
    }
    return results;
  } finally {
    layout.dispose();
    embedded.dispose();
    hidden?.dispose();
  }
}

function targetLogits(
  model: Model,
  hidden: Tensor,
  wanted: readonly { packed: number; token: number }[],
): { own: Tensor; top: Tensor; norm: Tensor } {
  const { tf } = model.engine;
  return scoped(tf, () => {
    const scores = logits(
      model,
      pickRows(
        model,
        hidden,
        wanted.map((w) => w.packed),
      ),
    );
    const vocabulary = model.config.vocabularySize;
    const flat = tf.tensor1d(
      Int32Array.from(wanted, (w, i) => i * vocabulary + w.token),
      'int32',
    );
    return {
      own: tf.gather(tf.reshape(scores, [-1]), flat) as Tensor,
      top: tf.argMax(scores, 1) as Tensor,
      norm: tf.logSumExp(scores, 1) as Tensor,
    };
  });
}
