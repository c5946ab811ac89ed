import { existsSync, readFileSync } from 'node:fs';
import { createEngine } from '@errata/tensor';
import { beforeAll, describe, expect, it } from 'vitest';
import { checkGguf } from './gguf.js';
import { checkModel } from './model.js';
import { checkTokenizer } from './tokenizer.js';
import type { ConformanceContext } from './types.js';

const modelPath = process.env.MODEL_PATH ?? '';
const present = modelPath !== '' && existsSync(modelPath);
if (!present) console.warn('MODEL_PATH names no weight file: conformance on the real model is skipped');

function fixture<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../../../model/fixtures/${name}`, import.meta.url), 'utf8')) as T;
}

describe.skipIf(!present)('conformance checks on the model', () => {
  let context: ConformanceContext;
  beforeAll(async () => {
    context = { modelPath, engine: await createEngine() };
  });

  it('tokenizer: passes, and counts a wrong id', async () => {
    const json = fixture<{ cases: { text: string; ids: number[] }[] }>('tokenizer_cases.json');
    expect(await checkTokenizer(json, context)).toEqual({ cases: json.cases.length, mismatches: 0, pass: true });
    json.cases[3].ids[0]++;
    expect(await checkTokenizer(json, context)).toMatchObject({ mismatches: 1, pass: false });
    await expect(checkTokenizer({ cases: [{ text: 1 }] }, context)).rejects.toThrow('cases[0]');
  });

  it('gguf: passes, and finds a wrong hash, a wrong value and an unknown tensor', async () => {
    const json = fixture<Record<string, Record<string, unknown>>>('gguf_dequant.json');
    const outcome = await checkGguf(json, context);
    expect(outcome).toMatchObject({ cases: 6, mismatches: 0, pass: true });
    const norm = json['output_norm.weight'];
    const wrong = {
      'output_norm.weight': { ...norm, sha256_f32le: '0'.repeat(64) },
      'blk.0.attn_k.weight': { ...json['blk.0.attn_k.weight'], sha256_f32le: undefined, last4: [0, 0, 0, 0] },
      'blk.99.attn_k.weight': json['blk.0.attn_k.weight'],
    };
    expect(await checkGguf(wrong, context)).toMatchObject({ cases: 3, mismatches: 3, pass: false });
  });

  it('model: passes, and finds a logit that is off', async () => {
    const json = fixture<{ prompts: { top5: { logit: number }[]; greedy16: number[] }[] }>('model_forward.json');
    const before = context.engine.tf.memory().numTensors;
    const outcome = await checkModel(json, context);
    expect(outcome.pass).toBe(true);
    expect(outcome.cases).toBeGreaterThan(500);
    expect(outcome.maxRelError).toBeLessThan(2e-3);
    const [prompt] = json.prompts;
    prompt.top5[2].logit += 0.01;
    prompt.greedy16[9]++;
    expect((await checkModel({ prompts: [prompt] }, context)).pass).toBe(false);
    expect(context.engine.tf.memory().numTensors).toBe(before);
  });
});
