import { randomUUID } from 'node:crypto';
import { type CompletionUsage, ErrataError } from '@errata/contracts';
import {
  FinishReason,
  type GenerateStreamRequest,
  type Sampling,
  type StateRef,
  type TokenLogProbabilities,
} from '@errata/rpc';
import type { GatewayDeps } from '../deps.js';
import { positionOf } from '../routes/shared.js';

/** Time for an answer in milliseconds: a long one on a busy machine. A runtime that lags reads the log first. */
const timeoutMs = 600_000;

/** The fields that both routes share. */
export interface Asked {
  readonly at?: number | string | null | undefined;
  readonly temperature?: number | null | undefined;
  readonly top_p?: number | null | undefined;
  readonly top_k?: number | null | undefined;
  readonly seed?: number | null | undefined;
  readonly n?: number | null | undefined;
  readonly stop?: string | readonly string[] | null | undefined;
}

/** The part of a request to the runtime that {@link Asked} decides. */
export function sharedFields(asked: Asked): Pick<GenerateStreamRequest, 'choices' | 'stop' | 'sampling'> {
  const { temperature, top_p: topP, top_k: topK, seed, n, stop } = asked;
  const sampling: Sampling = {
    temperature: temperature ?? 0,
    topP: topP ?? 1,
    topK: topK ?? 0,
    seed: seed ?? undefined,
  };
  return { choices: n ?? 1, stop: typeof stop === 'string' ? [stop] : [...(stop ?? [])], sampling };
}

/** What an answer holds beside its text. */
export interface Wanted {
  readonly logprobs: boolean;
  /** Whether a streamed answer ends with the counts of its tokens. */
  readonly usage: boolean;
}

/** What every answer of a request repeats. */
export interface AnswerHead {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly seq: number;
}

/** A stream at a position, with the head of the answers from there. */
export async function placeOf(
  deps: Pick<GatewayDeps, 'store'>,
  streamName: string,
  at: number | string | undefined,
  prefix: string,
): Promise<{ state: StateRef; head: AnswerHead }> {
  const stream = await deps.store.getStream(streamName);
  const seq = await positionOf(deps, stream, at);
  return {
    state: { streamId: stream.id, seq, staged: [] },
    head: {
      id: `${prefix}-${randomUUID().replaceAll('-', '')}`,
      created: Math.floor(Date.now() / 1000),
      model: stream.modelName,
      seq,
    },
  };
}

export type Finish = 'stop' | 'length';

/** One more piece of a choice's text. */
export interface AnswerPiece {
  readonly choice: number;
  readonly text: string;
  readonly finish: Finish | null;
  readonly logProbabilities: TokenLogProbabilities | undefined;
}

/** An answer as it comes. */
export interface Answer {
  /** The call begins when these are read. The first is null and says that it runs. */
  readonly pieces: AsyncIterable<AnswerPiece | null>;
  /** Counts of tokens; right when the last piece has come. */
  readonly usage: () => CompletionUsage;
}

/** Asks the runtime. */
export function ask(deps: Pick<GatewayDeps, 'runtime'>, request: GenerateStreamRequest, signal: AbortSignal): Answer {
  let promptTokens = 0;
  const tokensOf = new Map<number, number>();
  async function* pieces(): AsyncGenerator<AnswerPiece | null> {
    for await (const { event } of deps.runtime.generateStream(request, { timeoutMs, signal }))
      switch (event?.$case) {
        case 'start':
          ({ promptTokens } = event.start);
          yield null;
          break;
        case 'piece': {
          const { choice, text, tokens, finish, logProbabilities } = event.piece;
          tokensOf.set(choice, tokens);
          yield { choice, text, finish: finishOf(finish), logProbabilities };
          break;
        }
        case undefined:
          break;
      }
  }
  return {
    pieces: pieces(),
    usage() {
      const completionTokens = [...tokensOf.values()].reduce((sum, tokens) => sum + tokens, 0);
      return {
        prompt_tokens: promptTokens,
        completion_tokens: completionTokens,
        total_tokens: promptTokens + completionTokens,
      };
    },
  };
}

/** A whole choice. */
export interface AnswerChoice {
  readonly text: string;
  readonly finish: Finish;
  readonly logProbabilities: readonly TokenLogProbabilities[];
}

/** Waits for all of an answer. @throws INTERNAL when the runtime ended it without saying why */
export async function wholeAnswer(answer: Answer): Promise<AnswerChoice[]> {
  const choices: { text: string; finish: Finish | null; logProbabilities: TokenLogProbabilities[] }[] = [];
  for await (const piece of answer.pieces) {
    if (piece === null) continue;
    choices[piece.choice] ??= { text: '', finish: null, logProbabilities: [] };
    const choice = choices[piece.choice];
    choice.text += piece.text;
    choice.finish = piece.finish;
    if (piece.logProbabilities) choice.logProbabilities.push(piece.logProbabilities);
  }
  return choices.map(({ finish, ...rest }, index) => {
    if (finish === null) throw new ErrataError('INTERNAL', `the runtime ended choice ${index} before it was done`);
    return { ...rest, finish };
  });
}

function finishOf(reason: FinishReason): Finish | null {
  switch (reason) {
    case FinishReason.FINISH_REASON_STOP:
      return 'stop';
    case FinishReason.FINISH_REASON_LENGTH:
      return 'length';
    case FinishReason.FINISH_REASON_UNSPECIFIED:
    case FinishReason.UNRECOGNIZED:
      return null;
  }
}
