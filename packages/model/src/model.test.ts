import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEngine } from '@errata/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { folderOf } from './architecture-testing.js';
import { embed } from './forward.js';
import { generate } from './generate.js';
import { disposeModel, loadModel } from './model.js';
import { scoreContinuations } from './score.js';
import type { Model } from './types.js';
import { refusal } from './weight-testing.js';

const letters = 'Ġ abcdefghijklmnopqrstuvwxyz.'.replace(' ', '');

/** A byte-level tokenizer.json of a sink, a white space and some letters. */
function tokenizerJson(sink: string): string {
  const vocab = Object.fromEntries([sink, ...letters].map((token, id) => [token, id]));
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return JSON.stringify({
    version: '1.0',
    added_tokens: [
      { id: 0, content: sink, special: true, single_word: false, lstrip: false, rstrip: false, normalized: false },
    ],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: { type: 'BPE', unk_token: null, vocab, merges: [] },
  });
}

describe('a Hugging Face folder', () => {
  let path: string;
  let model: Model;
  beforeAll(async () => {
    path = mkdtempSync(join(tmpdir(), 'errata-model-'));
    const fixture = await folderOf('gptneox');
    for (const name of ['config.json', 'model.safetensors']) copyFileSync(join(fixture.path, name), join(path, name));
    writeFileSync(join(path, 'tokenizer.json'), tokenizerJson('<|endoftext|>'));
    writeFileSync(join(path, 'chat_template.jinja'), '{{ messages }}');
    model = await loadModel({ engine: await createEngine(), path });
  });
  afterAll(() => {
    disposeModel(model);
    rmSync(path, { recursive: true });
  });

  it('is loaded with its tokenizer, sink and chat template, scores and generates', async () => {
    expect(model).toMatchObject({ sinkId: 0, chatTemplate: '{{ messages }}' });
    expect(model.id).toMatch(/^[0-9a-f]{64}$/);
    expect(model.config).toMatchObject({ architecture: 'gptneox', layers: 3, headSize: 16, parallel: true });
    const before = model.engine.tf.memory().numTensors;
    const [text] = await generate(model, ['the sky is'], { maxTokens: 6, stop: [] });
    const [score] = await scoreContinuations(model, [{ prompt: 'the sky is', continuation: 'red' }]);
    expect(typeof text).toBe('string');
    expect(score.nll).toBeGreaterThan(0);
    expect(model.engine.tf.memory().numTensors).toBe(before);
  });

  it('with the tokenizer of another model is refused where a token has no embedding', async () => {
    const found = await refusal(() => embed(model, [0, 80]));
    expect(found).toEqual({ code: 'FILE_MALFORMED', message: expect.stringContaining('token 80 has no embedding') });
  });

  it('without a sink is refused', async () => {
    writeFileSync(join(path, 'tokenizer.json'), tokenizerJson('<pad>'));
    const { bos_token_id: _, ...config } = (await folderOf('gptneox')).config;
    writeFileSync(join(path, 'config.json'), JSON.stringify(config));
    const found = await refusal(() => loadModel({ engine: model.engine, path }));
    expect(found.message).toContain('<|endoftext|>');
  });
});
