import type { ChatCompletion, ChatCompletionChunk, ChatMessage } from '@errata/contracts';
import { type Answer, type AnswerHead, type Wanted, wholeAnswer } from './ask.js';
import { chatLogprobs } from './logprobs.js';

/** Messages as the runtime takes them: parts of text joined, "developer" under its older name. */
export function messagesOf(messages: readonly ChatMessage[]): { role: string; content: string }[] {
  return messages.map(({ role, content }) => ({
    role: role === 'developer' ? 'system' : role,
    content: typeof content === 'string' ? content : (content ?? []).map((part) => part.text).join(''),
  }));
}

/** A whole answer of /chat/completions. */
export async function chatCompletionOf(head: AnswerHead, answer: Answer, wanted: Wanted): Promise<ChatCompletion> {
  const choices = await wholeAnswer(answer);
  return {
    ...head,
    object: 'chat.completion',
    choices: choices.map(({ text, finish, logProbabilities }, index) => ({
      index,
      message: { role: 'assistant', content: text, refusal: null },
      logprobs: wanted.logprobs ? chatLogprobs(logProbabilities) : null,
      finish_reason: finish,
    })),
    usage: answer.usage(),
  };
}

type ChunkChoice = ChatCompletionChunk['choices'][number];

/** The events of a streamed one. */
export async function* chatEvents(
  head: AnswerHead,
  answer: Answer,
  choices: number,
  wanted: Wanted,
): AsyncGenerator<ChatCompletionChunk> {
  const event = (found: ChunkChoice[], usage: ChatCompletionChunk['usage'] = null): ChatCompletionChunk => ({
    ...head,
    object: 'chat.completion.chunk',
    choices: found,
    ...(wanted.usage && { usage }),
  });
  const empty = { logprobs: null, finish_reason: null };
  for await (const piece of answer.pieces) {
    if (piece === null) {
      for (let index = 0; index < choices; index++)
        yield event([{ index, delta: { role: 'assistant', content: '' }, ...empty }]);
      continue;
    }
    const { choice: index, text: content, finish, logProbabilities } = piece;
    const logprobs = wanted.logprobs && logProbabilities ? chatLogprobs([logProbabilities]) : null;
    if (content !== '' || logprobs) yield event([{ index, delta: { content }, logprobs, finish_reason: null }]);
    if (finish !== null) yield event([{ index, delta: {}, logprobs: null, finish_reason: finish }]);
  }
  if (wanted.usage) yield event([], answer.usage());
}
