import { createEngine } from '@errata/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ModelError } from './errors.js';
import { generate } from './generate.js';
import { disposeModel, loadModel } from './model.js';
import { perplexity, scoreContinuations } from './score.js';
import { fixture, testModelPath, tinyModel } from './testing.js';
import type { Model } from './types.js';

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
