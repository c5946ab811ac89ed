import { FinishReason } from '../generated/errata/v1/model_runtime.js';
import { type Case, collect, demand, demandRefusal, type Subject } from './case.js';

/** The model as it was loaded. */
export const unedited = { streamId: '', seq: 0, staged: [] };

const prompts = ['The capital of France is', 'Water boils at', 'Once upon a time'];
const items = prompts.map((prompt, i) => ({ prompt, continuation: ['Paris', 'one hundred degrees', 'there was'][i] }));
/** Scores may differ by this much between batches of different shape, in nats a token. */
const SCORE_TOLERANCE = 1e-3;
/** Most items of a request; more are refused. */
const MOST_ITEMS = 4096;

async function scores({ runtime, limits }: Subject, some: typeof items) {
  return (await runtime.score({ state: unedited, items: some }, limits)).results;
}

async function greedy({ runtime, limits }: Subject, texts: string[], maxTokens: number, stop: string[] = []) {
  return (await runtime.generate({ state: unedited, prompts: texts, maxTokens, stop }, limits)).texts;
}

async function streamed({ runtime, limits }: Subject, text: string, maxTokens: number) {
  const prompt = { $case: 'texts' as const, texts: { texts: [text] } };
  const events = await collect(
    runtime.generateStream({ state: unedited, prompt, choices: 1, maxTokens, stop: [] }, limits),
  );
  const [start, ...rest] = events.map(({ event }) => event);
  demand(start?.$case === 'start', () => `the first event is ${start?.$case}, not start`);
  demand(start.start.promptTokens > 0, () => 'prompt_tokens of the start is 0');
  return rest.map((event) => {
    demand(event?.$case === 'piece', () => `an event after the start is ${event?.$case}, not piece`);
    return event.piece;
  });
}

/** Score, Generate, GenerateStream, Perplexity. */
export const textCases: readonly Case[] = [
  {
    name: 'score: finite, counted, the same twice',
    async run(subject) {
      const first = await scores(subject, items);
      const again = await scores(subject, items);
      demand(first.length === items.length, () => `${first.length} results for ${items.length} items`);
      first.forEach(({ nll, tokens }, i) => {
        demand(Number.isFinite(nll) && nll >= 0, () => `nll of item ${i} is ${nll}`);
        demand(tokens > 0, () => `item ${i} has no tokens`);
        demand(again[i].nll === nll, () => `item ${i} scores ${nll}, then ${again[i].nll}`);
      });
    },
  },
  {
    name: `score: alone as in a batch, to ${SCORE_TOLERANCE} nats`,
    async run(subject) {
      const together = await scores(subject, items);
      for (const [i, item] of items.entries()) {
        const [alone] = await scores(subject, [item]);
        const difference = Math.abs(alone.nll - together[i].nll);
        demand(
          difference <= SCORE_TOLERANCE,
          () => `item ${i} scores ${together[i].nll} in a batch, ${alone.nll} alone`,
        );
      }
    },
  },
  {
    name: 'score: none, too many, or an empty continuation are refused',
    async run(subject) {
      const { runtime, limits } = subject;
      const ask = (some: typeof items) => () => runtime.score({ state: unedited, items: some }, limits);
      await demandRefusal('a request without items', ['INVALID_REQUEST'], ask([]));
      const many = new Array<(typeof items)[0]>(MOST_ITEMS + 1).fill(items[0]);
      await demandRefusal(`a request of ${many.length} items`, ['INVALID_REQUEST', 'PAYLOAD_TOO_LARGE'], ask(many));
      await demandRefusal('an empty continuation', ['INVALID_REQUEST'], ask([{ prompt: 'a', continuation: '' }]));
    },
  },
  {
    name: 'generate: greedy, one text a prompt, the same twice and in any company',
    async run(subject) {
      const texts = await greedy(subject, prompts, 12);
      demand(texts.length === prompts.length, () => `${texts.length} texts for ${prompts.length} prompts`);
      const again = await greedy(subject, [...prompts].reverse(), 12);
      again.reverse().forEach((text, i) => {
        demand(
          text === texts[i],
          () => `prompt ${i} goes on with ${JSON.stringify(texts[i])}, then ${JSON.stringify(text)}`,
        );
      });
    },
  },
  {
    name: 'generate: ends before a stop string',
    async run(subject) {
      const [text] = await greedy(subject, [prompts[0]], 12);
      const middle = Math.floor(text.length / 2);
      const stop = text.slice(middle, middle + 2);
      demand(stop !== '', () => 'twelve tokens gave no text');
      const [cut] = await greedy(subject, [prompts[0]], 12, [stop]);
      const wanted = text.slice(0, text.indexOf(stop));
      demand(
        cut === wanted,
        () => `stopped at ${JSON.stringify(stop)}: ${JSON.stringify(cut)}, not ${JSON.stringify(wanted)}`,
      );
    },
  },
  {
    name: 'generate stream: the pieces are the unary text, tokens ascend, the last one says why it ended',
    async run(subject) {
      const [text] = await greedy(subject, [prompts[1]], 12);
      const pieces = await streamed(subject, prompts[1], 12);
      const joined = pieces.map((piece) => piece.text).join('');
      demand(
        joined === text,
        () => `the pieces give ${JSON.stringify(joined)}, the unary call ${JSON.stringify(text)}`,
      );
      pieces.forEach(({ tokens, finish }, i) => {
        const last = i === pieces.length - 1;
        demand(i === 0 || tokens > pieces[i - 1].tokens, () => `piece ${i} counts ${tokens} tokens`);
        demand((finish !== FinishReason.FINISH_REASON_UNSPECIFIED) === last, () => `piece ${i} has finish ${finish}`);
      });
    },
  },
  {
    name: 'perplexity: above 1, counted, the same twice',
    async run({ runtime, limits }) {
      const first = await runtime.perplexity({ state: unedited }, limits);
      const again = await runtime.perplexity({ state: unedited }, limits);
      demand(first.perplexity > 1 && Number.isFinite(first.perplexity), () => `perplexity is ${first.perplexity}`);
      demand(first.tokens > 0, () => 'it counts no tokens');
      demand(again.perplexity === first.perplexity, () => `${first.perplexity}, then ${again.perplexity}`);
    },
  },
  {
    name: 'divergence: none of the unedited model from itself',
    async run({ runtime, limits }) {
      const found = await runtime.divergence({ state: unedited, windows: 1 }, limits);
      demand(found.tokens > 0, () => 'it counts no tokens');
      demand(found.perplexity > 1 && Number.isFinite(found.perplexity), () => `perplexity is ${found.perplexity}`);
      demand(Math.abs(found.divergence) < 1e-4, () => `it diverges by ${found.divergence}`);
    },
  },
];
