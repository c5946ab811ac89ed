import type { Edit } from '@errata/contracts';
import type { CallLimits, ModelRuntime, StateRef } from '@errata/rpc';

/** Least tokens of an answer that is shown to people. */
const answerTokens = 8;
/** Tokens an answer has beyond its target, so that one sees how it goes on. */
const tokensBeyond = 3;

/** Tokens to generate for an answer whose target has so many. */
export function answerLength(targetTokens: number): number {
  return Math.max(answerTokens, targetTokens + tokensBeyond);
}
const stop = ['\n'];

/** The prompt of an edit with its subject in place. */
export function shown(edit: Pick<Edit, 'prompt' | 'subject'>): string {
  return edit.subject === null ? edit.prompt : edit.prompt.replace('{}', () => edit.subject ?? '');
}

/** A target as the text that follows its prompt: joined by one space. */
export function continuation(target: string): string {
  return ` ${target}`;
}

/**
 * Whether a greedy answer is the target: it begins with it and does not run on into another word or number, as "$5.99"
 * does for "$5".
 */
export function says(answer: string, target: string): boolean {
  const text = answer.trimStart();
  // Answers end at a line break; what a target has beyond one is judged by its tokens alone.
  const [line] = target.split('\n', 1);
  return text.startsWith(line) && !/^(?:[\p{L}\p{N}]|[.,:]\p{N})/u.test(text.slice(line.length));
}

/** Greedy continuations, each of its own length in tokens; prompts of one length travel together. */
export async function generateBySize(
  runtime: Pick<ModelRuntime, 'generate'>,
  state: StateRef,
  items: readonly { prompt: string; tokens: number }[],
  limits: CallLimits,
): Promise<string[]> {
  const texts = new Array<string>(items.length).fill('');
  for (const tokens of new Set(items.map((item) => item.tokens))) {
    const members = items.flatMap((item, i) => (item.tokens === tokens ? [i] : []));
    const prompts = members.map((i) => items[i].prompt);
    const response = await runtime.generate({ state, prompts, maxTokens: tokens, stop }, limits);
    members.forEach((i, k) => {
      texts[i] = response.texts[k];
    });
  }
  return texts;
}
