import { type EditorConfig, ErrataError } from '@errata/contracts';
import { disposeModel, loadModel, type Model, ModelError } from '@errata/model';
import { testModelPath, tinyModel } from '@errata/model/testing';
import { createEngine } from '@errata/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KeyFinder } from './keys.js';
import { type EditText, locate } from './lookup.js';
import { resolveTargets } from './targets.js';

const config: EditorConfig = {
  layers: [0, 1],
  lambda: 0,
  mu: 1,
  covarianceWeight: 10,
  covarianceTokens: 1000,
  batchSize: 10,
  templates: ['{}', 'So, {}'],
  learningRate: 1,
  maxSteps: 4,
  stopLoss: 0,
  clamp: 50,
  klWeight: 0.0625,
  weightDecay: 0.001,
};

async function refusal(work: Promise<unknown>): Promise<{ code: string; message: string }> {
  const error = await work.then(
    () => new Error('nothing was refused'),
    (thrown: unknown) => thrown,
  );
  if (error instanceof ModelError || error instanceof ErrataError) return error;
  throw error;
}

describe('edits and configurations out of the ordinary', () => {
  let model: Model;
  beforeAll(async () => {
    model = tinyModel(await createEngine());
  });

  const keysOf = (edit: EditText, change: Partial<EditorConfig> = {}, layer = 0) => {
    const finder = new KeyFinder(model);
    const found = finder.find({
      edits: [edit],
      config: { ...config, ...change },
      layer,
      deltas: new Map(),
      version: String,
    });
    return found.finally(() => finder.dispose());
  };

  it('targets of one and of two hundred tokens are found together, as each alone', async () => {
    const edits: EditText[] = [
      // White space of its own: a target of a single byte.
      { prompt: 'The colour of {} is', subject: 'sky', target: '\t' },
      { prompt: '{} sings', subject: 'A', target: 'la '.repeat(80).slice(0, 199).trim() },
      { prompt: 'x{}', subject: 'y', target: 'z' },
    ];
    expect(model.tokenizer.ids(edits[0].target).length).toBe(1);
    expect(model.tokenizer.ids(` ${edits[1].target}`).length).toBeGreaterThanOrEqual(199);
    const together = await resolveTargets(model, edits, config);
    const size = model.config.hiddenSize;
    for (const [i, edit] of edits.entries()) {
      const figures = together.figures[i];
      expect(figures.finalNll).toBeLessThan(figures.initialNll);
      const alone = await resolveTargets(model, [edit], config);
      expect(alone.figures[0].losses.length).toBe(figures.losses.length);
      for (const [step, loss] of figures.losses.entries()) expect(alone.figures[0].losses[step]).toBeCloseTo(loss, 3);
      expect(together.targets.subarray(i * size, (i + 1) * size).every(Number.isFinite)).toBe(true);
    }
  });

  it('targets and prompts longer than the context are refused, and leave nothing behind', async () => {
    const { tf } = model.engine;
    const before = tf.memory().numTensors;
    const long = { prompt: 'Of {} it is said', subject: 'Bo', target: 'la'.repeat(200) };
    expect((await refusal(resolveTargets(model, [long], config))).code).toBe('PROMPT_TOO_LONG');
    const wide = { prompt: `Of {} ${'it is said '.repeat(40)}`, subject: 'Bo', target: 'x' };
    expect((await refusal(keysOf(wide))).code).toBe('PROMPT_TOO_LONG');
    expect((await refusal(resolveTargets(model, [{ prompt: 'a', target: '' }], config))).code).toBe('EMPTY_TOKENS');
    expect(tf.memory().numTensors).toBe(before);
  });

  it('a subject that the prompt has no place for is refused by name', async () => {
    const edit = { prompt: 'The sky is', subject: 'Ödön', target: 'red' };
    for (const work of [resolveTargets(model, [edit], config), keysOf(edit)]) {
      const { code, message } = await refusal(work);
      expect(code).toBe('INVALID_REQUEST');
      expect(message).toContain('write {} where "Ödön" stands');
    }
  });

  it('layers that the model does not have are refused, with those it has', async () => {
    const edit = { prompt: 'The {} is', subject: 'sky', target: 'red' };
    for (const layers of [[4], [0, 99], [-1], [0.5], []]) {
      const { code, message } = await refusal(resolveTargets(model, [edit], { ...config, layers }));
      expect(code).toBe('INVALID_REQUEST');
      expect(message).toContain('from 0 to 3');
    }
    expect((await refusal(keysOf(edit, {}, 4))).code).toBe('INVALID_REQUEST');
  });

  it('the top layer can be the last edited one, where the prompt ends in its subject', async () => {
    const edit = { prompt: 'Beyond is the {}', subject: 'sky', target: 'red' };
    const { figures } = await resolveTargets(model, [edit], { ...config, layers: [3] });
    expect(figures[0].finalNll).toBeLessThan(figures[0].initialNll);
  });

  it('text of any script is searched, also right to left, combined and outside the basic plane', async () => {
    const subjects = ['القاهرة', 'שלום עולם', 'ก็', 'e\u0301tude', '👩‍👩‍👧', '𝒳', 'ﷺ', '\u202eabc\u202c'];
    const edits = subjects.map((subject) => ({ prompt: 'هل {} ?', subject, target: 'نعم' }));
    const { figures, targets } = await resolveTargets(model, edits, config);
    expect(figures.every(({ finalNll, initialNll }) => finalNll < initialNll)).toBe(true);
    expect(targets.every(Number.isFinite)).toBe(true);
  });

  it('gives the same bits twice, whatever was computed in between', async () => {
    const edits = [
      { prompt: 'The {} is', subject: 'sky', target: 'red' },
      { prompt: 'No subject', target: 'at all' },
    ];
    for (const resolver of ['optimise', 'one-shot'] as const) {
      const bits = async () =>
        Buffer.from((await resolveTargets(model, edits, { ...config, resolver })).targets.buffer);
      const first = await bits();
      await resolveTargets(model, [{ prompt: 'Something {}', subject: 'else', target: 'there' }], config);
      expect((await bits()).equals(first)).toBe(true);
    }
  });
});

describe.skipIf(testModelPath === '')('subjects that the tokenizer of SmolLM2 splits', () => {
  let model: Model;
  beforeAll(async () => {
    model = await loadModel({ engine: await createEngine(), path: testModelPath });
  });
  afterAll(() => disposeModel(model));

  it('are edited at the token that holds their last character', () => {
    for (const subject of ['Xylqwrtz', 'Rhosllannerchrugog', 'مكتبة', 'ßßß', '2024', 'a\u0301', 'x'.repeat(60)]) {
      const { ids, lookup } = locate(model, '{}', { prompt: 'About {}, one says', subject });
      const end = 'About '.length + subject.length;
      const { starts, ends } = model.tokenizer.encode(`About ${subject}, one says`);
      expect(ids.length).toBe(starts.length + 1);
      expect(starts[lookup - 1]).toBeLessThan(end);
      expect(ends[lookup - 1]).toBeGreaterThanOrEqual(end);
      // Several tokens belong to the subject: the first is not the one meant.
      const first = starts.findIndex((_, i) => ends[i] > 'About '.length);
      expect(lookup - 1).toBeGreaterThan(first);
    }
  });
});
