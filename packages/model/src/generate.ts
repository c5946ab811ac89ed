import { embed, forward, logits, pickRows } from './forward.js';
import { createLayout } from './layout.js';
import { free } from './memory.js';
import { checkTokens, promptIds } from './prompt.js';
import type { RunState } from './score.js';
import type { KeyValues, Model, Tensor } from './types.js';

/** Prompts continued together; more rows only make the cache larger. */
const chunkRows = 32;

/** What to generate. */
export interface GenerateOptions extends RunState {
  readonly maxTokens: number;
  /** The text ends before the first of these. */
  readonly stop?: readonly string[];
}

/**
 * Greedy continuations of prompts (without the prompts), batched, with a cache of keys and values.
 * @throws ModelError PROMPT_TOO_LONG, EMPTY_TOKENS
 */
export async function generate(model: Model, prompts: readonly string[], options: GenerateOptions): Promise<string[]> {
  const rows = prompts.map((prompt, index) => ({ index, ids: promptIds(model, prompt) }));
  for (const { index, ids } of rows) checkTokens(model, ids.length + options.maxTokens, prompts[index]);
  rows.sort((a, b) => a.ids.length - b.ids.length);
  const texts = prompts.map(() => '');
  for (let at = 0; at < rows.length; at += chunkRows) {
    const chunk = rows.slice(at, at + chunkRows);
    const found = await generateChunk(
      model,
      chunk.map((row) => row.ids),
      options,
    );
    chunk.forEach(({ index }, i) => {
      texts[index] = found[i].text;
    });
  }
  return texts;
}

/** State of one row while it grows. */
interface Growing {
  readonly ids: number[];
  text: string;
  done: boolean;
}

async function generateChunk(
  model: Model,
  prompts: readonly (readonly number[])[],
  options: GenerateOptions,
): Promise<Growing[]> {
  const { tf } = model.engine;
  const rows = prompts.map((): Growing => ({ ids: [], text: '', done: false }));
  const promptWidth = Math.max(...prompts.map((ids) => ids.length));
  let cache: KeyValues[] = [];
  try {
    for (let step = 0; step < options.maxTokens && rows.some((row) => !row.done); step++) {
      const spans = prompts.map((ids) =>
        step === 0 ? { first: 0, count: ids.length } : { first: ids.length + step - 1, count: 1 },
      );
      const layout = createLayout(tf, model.config, spans, {
        width: step === 0 ? 0 : promptWidth + step - 1,
        visible: (row, column) => column < prompts[row].length || column >= promptWidth,
      });
      const ids = step === 0 ? prompts.flat() : rows.map((row) => row.ids[step - 1]);
      const embedded = embed(model, ids);
      let hidden: Tensor | undefined;
      try {
        const past = cache.length > 0 ? { past: cache } : {};
        const run = await forward(model, embedded, layout, { ...options, ...past, keepKeyValues: true });
        free(tf, cache);
        cache = run.keyValues;
        hidden = run.hidden;
        const best = await bestTokens(
          model,
          hidden,
          spans.map((span, row) => layout.starts[row] + span.count - 1),
        );
        best.forEach((token, row) => {
          grow(model, rows[row], token, options.stop ?? []);
        });
      } finally {
        layout.dispose();
        embedded.dispose();
        hidden?.dispose();
      }
    }
    return rows;
  } finally {
    free(tf, cache);
  }
}

async function bestTokens(model: Model, hidden: Tensor, positions: readonly number[]): Promise<Int32Array> {
  const { tf } = model.engine;
  const best = tf.tidy(() => tf.argMax(logits(model, pickRows(model, hidden, positions)), 1));
  const tokens = await best.data<'int32'>();
  best.dispose();
  return tokens;
}

function grow(model: Model, row: Growing, token: number, stop: readonly string[]): void {
  // A finished row still takes part in the batch: its ids must stay in step.
  row.ids.push(token);
  if (row.done) return;
  if (model.tokenizer.endIds.has(token)) {
    row.done = true;
    return;
  }
  row.text = model.tokenizer.decode(row.ids);
  const ends = stop.map((s) => row.text.indexOf(s)).filter((at) => at >= 0);
  if (ends.length === 0) return;
  row.text = row.text.slice(0, Math.min(...ends));
  row.done = true;
}
