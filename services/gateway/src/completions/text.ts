import type { Completion } from '@errata/contracts';
import { type Answer, type AnswerHead, type Wanted, wholeAnswer } from './ask.js';
import { OffsetLogprobs } from './logprobs.js';

/** A whole answer of /completions. */
export async function completionOf(head: AnswerHead, answer: Answer, wanted: Wanted): Promise<Completion> {
  const choices = await wholeAnswer(answer);
  return {
    ...head,
    object: 'text_completion',
    choices: choices.map(({ text, finish, logProbabilities }, index) => ({
      index,
      text,
      logprobs: wanted.logprobs ? new OffsetLogprobs().next(logProbabilities) : null,
      finish_reason: finish,
    })),
    usage: answer.usage(),
  };
}

/** The events of a streamed one. */
export async function* completionEvents(head: AnswerHead, answer: Answer, wanted: Wanted): AsyncGenerator<Completion> {
  const offsets = new Map<number, OffsetLogprobs>();
  const event = (choices: Completion['choices'], usage: Completion['usage'] = null): Completion => ({
    ...head,
    object: 'text_completion',
    choices,
    ...(wanted.usage && { usage }),
  });
  for await (const piece of answer.pieces) {
    if (piece === null) continue;
    const { choice: index, text, finish, logProbabilities } = piece;
    if (text === '' && finish === null && !logProbabilities) continue;
    const columns = offsets.get(index) ?? new OffsetLogprobs();
    offsets.set(index, columns);
    const logprobs = wanted.logprobs ? columns.next(logProbabilities ? [logProbabilities] : []) : null;
    yield event([{ index, text, logprobs, finish_reason: finish }]);
  }
  if (wanted.usage) yield event([], answer.usage());
}
