import { chatPrompt } from './chat-template.js';
import { ModelError } from './errors.js';
import { checkLength, checkTokens } from './prompt.js';
import type { Model } from './types.js';

/** A message of a conversation. */
export interface ChatMessage {
  /** Such as system, user, assistant. */
  readonly role: string;
  readonly content: string;
}

/**
 * Token ids of a conversation up to where the model's next message begins, behind the attention sink.
 * @throws ModelError NO_CHAT_TEMPLATE, CHAT_REFUSED (by the template), PROMPT_TOO_LONG, and EMPTY_TOKENS for messages that
 * come to nothing
 */
export function chatIds(model: Model, messages: readonly ChatMessage[]): number[] {
  if (model.chatTemplate === null)
    throw new ModelError(
      'NO_CHAT_TEMPLATE',
      `${model.config.name} has no chat template: give it a text to continue instead of messages`,
    );
  const { bos, eos } = model.chatTokens;
  const text = chatPrompt(model.chatTemplate, messages, { addGenerationPrompt: true, bosToken: bos, eosToken: eos });
  checkLength(model, text);
  const ids = model.tokenizer.ids(text);
  if (ids.length === 0) throw new ModelError('EMPTY_TOKENS', 'the messages come to an empty prompt');
  const withSink = ids[0] === model.sinkId ? ids : [model.sinkId, ...ids];
  checkTokens(model, withSink.length, text);
  return withSink;
}
