import type { ChatLogprobs, CompletionLogprobs } from '@errata/contracts';
import type { TokenLogProbabilities, TokenLogProbability } from '@errata/rpc';

/** Least log-probability reported: JSON has no −∞. */
const leastLogprob = -9999;

/** Log-probabilities in the form of /chat/completions. */
export function chatLogprobs(found: readonly TokenLogProbabilities[]): ChatLogprobs {
  return {
    content: found.map(({ chosen, top }) => ({ ...entry(chosen), top_logprobs: top.map(entry) })),
  };
}

function entry(token: TokenLogProbability | undefined): { token: string; logprob: number; bytes: number[] } {
  return { token: textOf(token), logprob: logprobOf(token), bytes: [...(token?.token ?? [])] };
}

/** Log-probabilities in the form of /completions, which counts the characters that lie before each token. */
export class OffsetLogprobs {
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #offset = 0;

  /** The next tokens of the text. */
  next(found: readonly TokenLogProbabilities[]): CompletionLogprobs {
    const columns: CompletionLogprobs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
    for (const { chosen, top } of found) {
      columns.tokens.push(textOf(chosen));
      columns.token_logprobs.push(logprobOf(chosen));
      columns.top_logprobs.push(Object.fromEntries(top.map((token) => [textOf(token), logprobOf(token)])));
      columns.text_offset.push(this.#offset);
      this.#offset += this.#decoder.decode(chosen?.token, { stream: true }).length;
    }
    return columns;
  }
}

function textOf(token: TokenLogProbability | undefined): string {
  return token?.token.toString('utf8') ?? '';
}

function logprobOf(token: TokenLogProbability | undefined): number {
  return Math.max(leastLogprob, token?.logProbability ?? leastLogprob);
}
