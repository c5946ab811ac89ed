import { ModelError } from './errors.js';
import { decode } from './generate-steps.js';
import { GrowingText } from './generate-text.js';
import { checkTokens, promptIds } from './prompt.js';
import { checkSampling, type LogProbabilities, type Sampling } from './sampling.js';
import type { RunState } from './score.js';
import type { Model, Pause } from './types.js';

/** Prompts continued together; more rows only make the cache larger. */
const chunkRows = 32;

/** What to generate. Greedy unless a temperature is given. */
export interface GenerateOptions extends RunState, Sampling {
  readonly maxTokens: number;
  /** The text ends before the first of these. */
  readonly stop?: readonly string[];
}

/**
 * Continuations of prompts (without the prompts), batched, with a cache of keys and values. With a seed, the text of a
 * prompt depends on its place in the list.
 * @throws ModelError PROMPT_TOO_LONG, EMPTY_TOKENS, INVALID_SAMPLING, NOT_A_NUMBER
 */
export async function generate(model: Model, prompts: readonly string[], options: GenerateOptions): Promise<string[]> {
  checkSampling(options);
  const rows = prompts.map((prompt, index) => ({ index, ids: promptIds(model, prompt) }));
  for (const { index, ids } of rows) checkTokens(model, ids.length + options.maxTokens, prompts[index]);
  rows.sort((a, b) => a.ids.length - b.ids.length);
  const texts = prompts.map(() => '');
  for (let at = 0; at < rows.length; at += chunkRows) {
    const chunk = rows.slice(at, at + chunkRows);
    const growing = chunk.map(() => new GrowingText(model.tokenizer, options.stop));
    const steps = decode(model, {
      ...options,
      prompts: chunk.map(({ ids }) => ids),
      choices: 1,
      sampling: options,
      randomStream: (row) => chunk[row].index,
      isDone: (row) => growing[row].ended,
    });
    for await (const tokens of steps)
      for (const { row, token } of tokens) texts[chunk[row].index] += growing[row].add(token);
    for (const [row, { index }] of chunk.entries()) if (!growing[row].ended) texts[index] += growing[row].finish();
  }
  return texts;
}

/** What to generate piece by piece. */
export interface StreamOptions extends RunState, Sampling {
  /** Ends where the context ends when it has no room for so many. */
  readonly maxTokens: number;
  /** The text ends before the first of these. */
  readonly stop?: readonly string[];
  /** Log-probabilities of the tokens, and of so many of the most likely at each place. */
  readonly logProbabilities?: number;
  /** Called between steps, when only the cache of keys and values is held. */
  readonly betweenTokens?: Pause;
}

/** One more token of a continuation. */
export interface Piece {
  /** Whole characters that no stop string can begin in any more; often empty, sometimes of several tokens. */
  readonly text: string;
  /** Tokens so far, one that ended the text included. */
  readonly tokens: number;
  /** Why this piece is the last: an end token or stop string, or no room for more; null when it is not. */
  readonly finish: 'stop' | 'length' | null;
  /** Of this token; not of one that ended the text. */
  readonly logProbabilities?: LogProbabilities;
}

/** A piece of one of several continuations: prompt by prompt, the choices of a prompt one after the other. */
export interface ChoicePiece extends Piece {
  readonly choice: number;
}

/**
 * The continuation of a prompt as it grows. Between two pieces it holds the cache of keys and values and no other
 * tensor; leaving the loop frees it, and so does a `pause` that throws.
 * @param promptIds with the attention sink in front
 * @throws ModelError PROMPT_TOO_LONG, EMPTY_TOKENS, INVALID_SAMPLING, NOT_A_NUMBER
 */
export async function* generateStream(
  model: Model,
  promptIds: readonly number[],
  options: StreamOptions,
): AsyncGenerator<Piece, void, undefined> {
  for await (const { choice: _, ...piece } of generateChoices(model, [promptIds], options)) yield piece;
}

/** {@link generateStream} of several prompts, `choices` continuations each, in one batch. */
export async function* generateChoices(
  model: Model,
  prompts: readonly (readonly number[])[],
  options: StreamOptions & { readonly choices?: number },
): AsyncGenerator<ChoicePiece, void, undefined> {
  const { choices = 1 } = options;
  const { contextLength } = model.config;
  for (const ids of prompts) {
    if (ids.length === 0) throw new ModelError('EMPTY_TOKENS', 'the prompt is empty');
    checkTokens(model, ids.length + 1, model.tokenizer.decode(ids.slice(0, 20)));
  }
  const most = prompts.map((ids) => Math.min(options.maxTokens, contextLength - ids.length));
  const rows = prompts.flatMap((_, prompt) =>
    Array.from({ length: choices }, () => ({
      most: most[prompt],
      text: new GrowingText(model.tokenizer, options.stop),
    })),
  );
  const counts = rows.map(() => 0);
  const steps = decode(model, {
    ...options,
    prompts,
    choices,
    maxTokens: Math.max(...most),
    sampling: options,
    isDone: (row) => rows[row].text.ended || counts[row] >= rows[row].most,
  });
  for await (const found of steps) {
    for (const { row, token, logProbabilities } of found) {
      const { text, most } = rows[row];
      const tokens = ++counts[row];
      const certain = text.add(token);
      const rest = tokens === most && !text.ended ? text.finish() : '';
      const finish = text.ended ? 'stop' : tokens === most ? 'length' : null;
      const isEnd = model.tokenizer.endIds.has(token);
      yield {
        choice: row,
        text: certain + rest,
        tokens,
        finish,
        ...(logProbabilities && !isEnd && { logProbabilities }),
      };
    }
    await options.betweenTokens?.();
  }
}
