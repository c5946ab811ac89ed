import type { Edit } from '@errata/contracts';
import type { CallLimits, ModelRuntime, StateRef } from '@errata/rpc';

/** Tokens of an answer that is shown to people. */
export const answerTokens = 8;
const stop = ['\n'];

/** The prompt of an edit with its subject in place. */
export function shown(edit: Pick<Edit, 'prompt' | 'subject'>): string {
  return edit.subject === null ? edit.prompt : edit.prompt.replace('{}', () => edit.subject ?? '');
}

/** A target as the text that follows its prompt: joined by one space. */
export function continuation(target: string): string {
  return ` ${target}`;
}

/** Greedy continuations, each of its own length in tokens; prompts of one length travel together. */
export async function generateBySize(
  runtime: ModelRuntime,
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
