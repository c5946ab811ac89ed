import { embed, forward, logits, pickRows } from './forward.js';
import { createLayout } from './layout.js';
import { free, scoped } from './memory.js';
import {
  candidates,
  checkSampling,
  draw,
  isGreedy,
  type LogProbabilities,
  logProbabilities,
  randomNumbers,
  type Sampling,
} from './sampling.js';
import type { RunState } from './score.js';
import type { KeyValues, Model, Tensor } from './types.js';

/** What to decode. Rows are prompt by prompt, the choices of a prompt one after the other. */
export interface DecodeOptions extends RunState {
  readonly prompts: readonly (readonly number[])[];
  /** Continuations a prompt; the prompt itself is run once. */
  readonly choices: number;
  readonly maxTokens: number;
  readonly sampling: Sampling;
  /** Tells the random numbers of a row from those of others; its index when left out. */
  readonly randomStream?: (row: number) => number;
  /** Log-probabilities of the tokens, and of so many of the most likely at each place. */
  readonly logProbabilities?: number;
  /** Whether a row needs no more tokens; asked after each step, and the row then leaves the batch. */
  readonly isDone: (row: number) => boolean;
}

/** A new token of a row. */
export interface NewToken {
  readonly row: number;
  readonly token: number;
  readonly logProbabilities?: LogProbabilities;
}

/**
 * Decodes with a cache of keys and values, one token of every row a step. Between two steps it holds the cache and
 * nothing else; leaving the loop early frees that.
 * @throws ModelError INVALID_SAMPLING, NOT_A_NUMBER
 */
export async function* decode(
  model: Model,
  options: DecodeOptions,
): AsyncGenerator<readonly NewToken[], void, undefined> {
  checkSampling(options.sampling);
  const { prompts, choices } = options;
  const { tf } = model.engine;
  const choose = chooser(model, options);
  const promptWidth = Math.max(...prompts.map((ids) => ids.length));
  let cache: readonly KeyValues[] = [];
  let cached = prompts.map((_, prompt) => prompt);
  let rows = prompts
    .flatMap((_, prompt) => Array.from({ length: choices }, () => prompt))
    .map((prompt, row) => ({
      row,
      prompt,
      last: 0,
    }));
  try {
    for (let step = 0; step < options.maxTokens; step++) {
      if (step > 0) {
        rows = rows.filter(({ row }) => !options.isDone(row));
        if (rows.length === 0) return;
        const wanted = rows.map(({ row, prompt }) => (step === 1 ? prompt : row));
        if (wanted.join() !== cached.join()) {
          const places = wanted.map((name) => cached.indexOf(name));
          cache = cache.map((kept) => pickCached(model, kept, places));
        }
        cached = rows.map(({ row }) => row);
      }
      const first = step === 0;
      const batch = first ? prompts.map((_, prompt) => prompt) : rows.map(({ prompt }) => prompt);
      const spans = batch.map((prompt) => {
        const { length } = prompts[prompt];
        return first ? { first: 0, count: length } : { first: length + step - 1, count: 1 };
      });
      const layout = createLayout(tf, model.config, spans, {
        width: first ? 0 : promptWidth + step - 1,
        visible: (row, column) => column < prompts[batch[row]].length || column >= promptWidth,
      });
      const embedded = embed(model, first ? prompts.flat() : rows.map(({ last }) => last));
      let found: readonly NewToken[];
      try {
        const { deltas, pause } = options;
        const run = await forward(model, embedded, layout, {
          ...(deltas && { deltas }),
          ...(pause && { pause }),
          ...(cache.length > 0 && { past: cache, releasePast: true }),
          keepKeyValues: true,
        });
        cache = run.keyValues;
        const ends = spans.map(({ count }, row) => layout.starts[row] + count - 1);
        const last = lastLogits(model, run.hidden, ends);
        const places = rows.map(({ row, prompt }, i) => ({ row, at: first ? prompt : i }));
        found = await choose(last, places);
      } finally {
        layout.dispose();
        embedded.dispose();
      }
      for (const [i, { token }] of found.entries()) rows[i].last = token;
      yield found;
    }
  } finally {
    free(tf, cache);
  }
}

/** Logits at some positions, the hidden states freed. */
function lastLogits(model: Model, hidden: Tensor, positions: readonly number[]): Tensor {
  const { tf } = model.engine;
  try {
    return scoped(tf, () => logits(model, pickRows(model, hidden, positions)));
  } finally {
    hidden.dispose();
  }
}

/** Rows of a cache, the cache itself freed. */
function pickCached(model: Model, { keys, values }: KeyValues, rows: readonly number[]): KeyValues {
  const { tf } = model.engine;
  const picked = scoped(tf, (): KeyValues => {
    const index = tf.tensor1d(Int32Array.from(rows), 'int32');
    return { keys: tf.gather(keys, index), values: tf.gather(values, index) };
  });
  free(tf, keys, values);
  return picked;
}

/** Chooses the tokens of rows from logits, [n, vocabulary], which it frees; `at` is a row's place in them. */
function chooser(model: Model, options: DecodeOptions) {
  const { tf } = model.engine;
  const { sampling, logProbabilities: top, randomStream = (row: number) => row } = options;
  const seed = sampling.seed ?? Math.floor(Math.random() * Number.MAX_SAFE_INTEGER);
  const places = new Map<number, () => number>();
  const place = (row: number): number => {
    const next = places.get(row) ?? randomNumbers(seed, randomStream(row));
    places.set(row, next);
    return next();
  };
  return async (last: Tensor, rows: readonly { readonly row: number; readonly at: number }[]): Promise<NewToken[]> => {
    if (isGreedy(sampling) && top === undefined) {
      const best = tf.tidy(() => tf.argMax(last, 1));
      last.dispose();
      try {
        const tokens = await best.data<'int32'>();
        return rows.map(({ row, at }) => ({ row, token: tokens[at] }));
      } finally {
        best.dispose();
      }
    }
    try {
      const all = (await last.data()) as Float32Array;
      const size = all.length / last.shape[0];
      return rows.map(({ row, at }) => {
        const values = all.subarray(at * size, (at + 1) * size);
        const token = draw(candidates(values, sampling), isGreedy(sampling) ? 0 : place(row));
        return top === undefined
          ? { row, token }
          : { row, token, logProbabilities: logProbabilities(values, token, top) };
      });
    } finally {
      last.dispose();
    }
  };
}
