import { createEngine } from '@errata/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ModelError } from './errors.js';
import { type ChoicePiece, generate, generateChoices, generateStream, type StreamOptions } from './generate.js';
import { disposeModel, loadModel } from './model.js';
import { promptIds } from './prompt.js';
import { perplexity, scoreContinuations } from './score.js';
import { fixture, testModelPath, tinyModel } from './testing.js';
import type { Model } from './types.js';

/** All pieces of a generation. */
async function all<Item>(pieces: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const piece of pieces) found.push(piece);
  return found;
}

const textOf = (pieces: readonly { text: string }[]): string => pieces.map(({ text }) => text).join('');

/** The texts of choices by index. */
function textsOf(pieces: readonly ChoicePiece[]): string[] {
  const texts: string[] = [];
  for (const { choice, text } of pieces) texts[choice] = (texts[choice] ?? '') + text;
  return texts;
}

describe('scoring and generation', () => {
  let model: Model;
  beforeAll(async () => {
    model = tinyModel(await createEngine());
  });

  it('scores what it generates as exact, and a batch like each prompt alone', async () => {
    const prompts = ['ab', 'a longer prompt of bytes', 'x'];
    const texts = await generate(model, prompts, { maxTokens: 5 });
    const alone = await Promise.all(prompts.map((prompt) => generate(model, [prompt], { maxTokens: 5 })));
    expect(texts).toEqual(alone.flat());
    const ascii = 'continued';
    const items = prompts.map((prompt) => ({ prompt, continuation: ascii }));
    const together = await scoreContinuations(model, items);
    for (const [i, item] of items.entries()) {
      const [single] = await scoreContinuations(model, [item]);
      expect(together[i].nll).toBeCloseTo(single.nll, 4);
      expect(together[i].tokens).toBe(ascii.length + 1);
    }
  });

  it('joins a continuation with one space unless it brings white space', async () => {
    const [plain, spaced, newline] = await scoreContinuations(model, [
      { prompt: 'ab', continuation: 'cd' },
      { prompt: 'ab', continuation: ' cd' },
      { prompt: 'ab', continuation: '\ncd' },
    ]);
    expect(plain).toEqual(spaced);
    expect(newline.nll).not.toBeCloseTo(plain.nll, 3);
  });

  it('frees every tensor', async () => {
    const { tf } = model.engine;
    const before = tf.memory().numTensors;
    await generate(model, ['ab', 'abc'], { maxTokens: 4 });
    await scoreContinuations(model, [{ prompt: 'ab', continuation: 'c' }]);
    await perplexity(model, [[4, 5, 6, 7]]);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('frees every tensor when stopped in the middle', async () => {
    const { tf } = model.engine;
    const before = tf.memory().numTensors;
    let calls = 0;
    const pause = async (): Promise<void> => {
      calls++;
      if (calls === 7) throw new Error('stop');
    };
    await expect(generate(model, ['ab', 'abc'], { maxTokens: 4, pause })).rejects.toThrow('stop');
    calls = 4;
    await expect(scoreContinuations(model, [{ prompt: 'ab', continuation: 'c' }], { pause })).rejects.toThrow('stop');
    expect(tf.memory().numTensors).toBe(before);
  });

  it('refuses empty and overlong text', async () => {
    const code = async (work: Promise<unknown>): Promise<string> =>
      work.then(
        () => 'none',
        (error: unknown) => (error instanceof ModelError ? error.code : 'other'),
      );
    expect(await code(generate(model, [''], { maxTokens: 1 }))).toBe('EMPTY_TOKENS');
    expect(await code(generate(model, ['a'.repeat(400)], { maxTokens: 1 }))).toBe('PROMPT_TOO_LONG');
    expect(await code(generate(model, ['a'.repeat(1_000_000)], { maxTokens: 1 }))).toBe('PROMPT_TOO_LONG');
    expect(await code(scoreContinuations(model, [{ prompt: 'a', continuation: '' }]))).toBe('EMPTY_TOKENS');
    expect(await code(scoreContinuations(model, [{ prompt: 'a'.repeat(200), continuation: 'b'.repeat(200) }]))).toBe(
      'PROMPT_TOO_LONG',
    );
  });
});

describe('streamed generation', () => {
  let model: Model;
  let ids: number[];
  const sampled = { temperature: 1.5, topP: 0.9, seed: 5 };
  beforeAll(async () => {
    model = tinyModel(await createEngine());
    ids = promptIds(model, 'a prompt');
  });
  const stream = (options: Partial<StreamOptions> = {}) => generateStream(model, ids, { maxTokens: 12, ...options });

  it('adds up to the text that comes whole, greedy and sampled', async () => {
    for (const sampling of [{}, sampled]) {
      const pieces = await all(stream(sampling));
      expect([textOf(pieces)]).toEqual(await generate(model, ['a prompt'], { maxTokens: 12, ...sampling }));
      expect(pieces.map(({ tokens }) => tokens)).toEqual(pieces.map((_, i) => i + 1));
      expect(pieces.map(({ finish }) => finish)).toEqual([...new Array(11).fill(null), 'length']);
    }
  });

  it('repeats with a seed, and differs without', async () => {
    const texts = async (seed?: number) =>
      textOf(await all(stream({ temperature: 1.5, maxTokens: 24, ...(seed !== undefined && { seed }) })));
    expect(await texts(5)).toBe(await texts(5));
    expect(new Set([await texts(5), await texts(6), await texts(), await texts()]).size).toBe(4);
  });

  it('draws as the distribution of the first token says', async () => {
    const [{ logProbabilities }] = await all(stream({ maxTokens: 1, logProbabilities: 258 }));
    const expected = new Map(logProbabilities?.top.map(({ id, logProbability }) => [id, Math.exp(logProbability)]));
    const sum = [...expected.values()].reduce((total, share) => total + share, 0);
    expect(sum).toBeCloseTo(1, 5);
    const choices = 600;
    const found = generateChoices(model, [ids], {
      maxTokens: 1,
      temperature: 1,
      seed: 1,
      logProbabilities: 0,
      choices,
    });
    const counts = new Map<number, number>();
    for (const piece of await all(found)) {
      const id = piece.logProbabilities?.chosen.id ?? -1;
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    for (const [id, share] of expected) {
      const deviation = Math.sqrt(choices * share * (1 - share));
      expect(Math.abs((counts.get(id) ?? 0) - choices * share)).toBeLessThan(5 * deviation + 1);
    }
  });

  it('gives choices of several prompts in one batch the text each has alone', async () => {
    const prompts = ['a prompt', 'b', 'one that is longer'].map((text) => promptIds(model, text));
    const together = await all(generateChoices(model, prompts, { maxTokens: 8, choices: 2 }));
    const alone = await Promise.all(
      prompts.map(async (prompt) => all(generateStream(model, prompt, { maxTokens: 8 }))),
    );
    expect(textsOf(together)).toEqual(alone.flatMap((pieces) => [textOf(pieces), textOf(pieces)]));
    const drawn = textsOf(await all(generateChoices(model, [ids], { maxTokens: 8, choices: 3, ...sampled })));
    expect(new Set(drawn).size).toBe(3);
  });

  it('goes on with the rows that have not ended, whatever rows end before', async () => {
    const prompts = ['a prompt', 'b', 'one that is longer', 'c!'].map((text) => promptIds(model, text));
    const options = { maxTokens: 20, temperature: 2, seed: 3, choices: 2 };
    const plain = textsOf(await all(generateChoices(model, prompts, options)));
    // Strings that are in the texts of some rows at different places.
    const stop = [plain[0].slice(3, 5), plain[3].slice(9, 11), plain[6].slice(0, 1)];
    const pieces = await all(generateChoices(model, prompts, { ...options, stop }));
    const before = (text: string) => Math.min(text.length, ...stop.map((s) => text.indexOf(s)).filter((at) => at >= 0));
    expect(textsOf(pieces)).toEqual(plain.map((text) => text.slice(0, before(text))));
    const ends = pieces.filter(({ finish }) => finish !== null);
    expect(ends.map(({ choice }) => choice).sort()).toEqual(plain.map((_, i) => i));
    expect(new Set(ends.map(({ tokens }) => tokens)).size).toBeGreaterThan(2);
  });

  it('ends where the context ends', async () => {
    const long = promptIds(model, 'x'.repeat(295));
    const pieces = await all(generateStream(model, long, { maxTokens: 1000 }));
    expect(pieces.at(-1)).toMatchObject({ tokens: model.config.contextLength - long.length, finish: 'length' });
    await expect(all(generateStream(model, [...long, 2, 2, 2, 2], { maxTokens: 1 }))).rejects.toThrow(ModelError);
    await expect(all(generateStream(model, [], { maxTokens: 1 }))).rejects.toThrow(ModelError);
  });

  it('holds nothing but the cache between tokens, and frees it when left or stopped', async () => {
    const { tf } = model.engine;
    const before = tf.memory().numTensors;
    const seen: number[] = [];
    for await (const { tokens } of stream({ ...sampled, logProbabilities: 2 })) {
      seen.push(tf.memory().numTensors - before);
      if (tokens === 4) break;
    }
    expect(seen).toEqual(new Array(4).fill(2 * model.config.layers));
    expect(tf.memory().numTensors).toBe(before);

    for (const last of [1, 6, 11]) {
      let calls = 0;
      const pause = async (): Promise<void> => {
        if (++calls === last) throw new Error('gone');
      };
      const work = all(generateChoices(model, [ids, [...ids, 9]], { maxTokens: 4, choices: 2, ...sampled, pause }));
      await expect(work).rejects.toThrow('gone');
      expect(tf.memory().numTensors).toBe(before);
    }
    await all(stream());
    await expect(all(stream({ temperature: -1 }))).rejects.toThrow('temperature');
    expect(tf.memory().numTensors).toBe(before);
  });

  it('of two interleaved token by token each has the text it has alone', async () => {
    const other = promptIds(model, 'another');
    const [a, b] = [stream(), generateStream(model, other, { maxTokens: 12, ...sampled })];
    let texts = ['', ''];
    for (let i = 0; i < 12; i++) {
      const pieces = [await a.next(), await b.next()];
      texts = texts.map((text, k) => text + (pieces[k].value?.text ?? ''));
    }
    expect(texts).toEqual([
      ...(await generate(model, ['a prompt'], { maxTokens: 12 })),
      ...(await generate(model, ['another'], { maxTokens: 12, ...sampled })),
    ]);
  });
});

describe.skipIf(testModelPath === '')('generation of SmolLM2', () => {
  let model: Model;
  beforeAll(async () => {
    model = await loadModel({ engine: await createEngine(), path: testModelPath });
  });
  afterAll(() => disposeModel(model));

  it('yields the greedy text of the fixture, all prompts in one batch', async () => {
    const { prompts } = fixture<{ prompts: { prompt: string; greedy_text: string }[] }>('model_forward.json');
    const texts = await generate(
      model,
      prompts.map((p) => p.prompt),
      { maxTokens: 16 },
    );
    expect(texts).toEqual(prompts.map((p) => p.greedy_text));
    const cut = await generate(model, [prompts[0].prompt], { maxTokens: 16, stop: ['\n', '.'] });
    expect(cut).toEqual([' Paris']);
  });

  it('streams the same text, across a stop string and characters of several tokens', async () => {
    const ask = async (prompt: string, options: StreamOptions) =>
      all(generateStream(model, promptIds(model, prompt), options));
    const prompt = 'The capital of France is';
    const pieces = await ask(prompt, { maxTokens: 16, logProbabilities: 1 });
    const { prompts } = fixture<{ prompts: { prompt: string; greedy_text: string }[] }>('model_forward.json');
    const whole = prompts.find((p) => p.prompt === prompt)?.greedy_text ?? '';
    expect(textOf(pieces)).toBe(whole);
    expect(pieces.length).toBe(16);
    expect(pieces.filter(({ text }) => text !== '').length).toBeGreaterThan(10);
    for (const { logProbabilities } of pieces) expect(logProbabilities?.chosen).toEqual(logProbabilities?.top[0]);
    const stop = whole.slice(8, 20);
    expect(model.tokenizer.ids(stop).length).toBeGreaterThan(2);
    const cut = await ask(prompt, { maxTokens: 16, stop: [stop] });
    expect(textOf(cut)).toBe(whole.slice(0, 8));
    expect(cut.at(-1)?.finish).toBe('stop');

    const emoji = 'A smile: 😀 😀 😀 😀 😀 😀 😀';
    const smiles = await ask(emoji, { maxTokens: 8 });
    expect(textOf(smiles)).toMatch(/\p{Extended_Pictographic}/u);
    expect(smiles.some(({ text }, i) => text === '' && i + 1 < smiles.length)).toBe(true);
    for (const { text, finish } of smiles) if (finish === null) expect(text).not.toContain('\ufffd');
  });

  it('is less surprised by English than by shuffled English', async () => {
    const ids = model.tokenizer.ids(
      'The committee met on Tuesday to discuss the budget for the coming year, and it agreed to publish its report in the spring after the members had read the draft.',
    );
    const plain = await perplexity(model, [ids]);
    const shuffled = await perplexity(model, [[...ids].sort((a, b) => a - b)]);
    expect(plain.tokens).toBe(ids.length);
    expect(plain.perplexity).toBeLessThan(60);
    expect(shuffled.perplexity).toBeGreaterThan(10 * plain.perplexity);
  });
});
