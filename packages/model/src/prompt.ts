import { ModelError } from './errors.js';
import type { Tokenizer } from './tokenizer.js';

/** What prompts are made with: a model, or the part of one that has no weights. */
export interface PromptModel {
  readonly tokenizer: Pick<Tokenizer, 'ids' | 'runningIds'>;
  readonly config: { readonly contextLength: number };
  /** Token every prompt is prefixed with: the attention sink. */
  readonly sinkId: number;
}

/** Characters a token can at most stand for in practice; longer text cannot fit and is not even tokenised. */
const charactersPerToken = 16;

/**
 * Token ids of a prompt behind the attention sink.
 * @throws ModelError EMPTY_TOKENS, PROMPT_TOO_LONG
 */
export function promptIds(model: PromptModel, prompt: string): number[] {
  checkLength(model, prompt);
  const ids = model.tokenizer.ids(prompt);
  if (ids.length === 0) throw new ModelError('EMPTY_TOKENS', 'the prompt is empty');
  const withSink = [model.sinkId, ...ids];
  checkTokens(model, withSink.length, prompt);
  return withSink;
}

/**
 * Token ids of a continuation: one space joins it to the prompt unless it brings its own white space.
 * @throws ModelError EMPTY_TOKENS, PROMPT_TOO_LONG
 */
export function continuationIds(model: PromptModel, continuation: string): number[] {
  checkLength(model, continuation);
  const joined = /^\s/.test(continuation) ? continuation : ` ${continuation}`;
  const ids = continuation === '' ? [] : model.tokenizer.runningIds(joined);
  if (ids.length === 0) throw new ModelError('EMPTY_TOKENS', 'the continuation is empty');
  return ids;
}

/** Refuses rows longer than the context. @throws ModelError PROMPT_TOO_LONG */
export function checkTokens(model: Pick<PromptModel, 'config'>, tokens: number, text: string): void {
  const { contextLength } = model.config;
  if (tokens > contextLength)
    throw new ModelError(
      'PROMPT_TOO_LONG',
      `${tokens} tokens do not fit the context of ${contextLength}: ${JSON.stringify(text.slice(0, 60))}…`,
    );
}

/** Refuses text that is too long whatever its tokens. @throws ModelError PROMPT_TOO_LONG */
export function checkLength(model: Pick<PromptModel, 'config'>, text: string): void {
  const limit = charactersPerToken * model.config.contextLength;
  if (text.length > limit)
    throw new ModelError('PROMPT_TOO_LONG', `a text of ${text.length} characters does not fit the context`);
}
