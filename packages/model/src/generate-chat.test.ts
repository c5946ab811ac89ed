import { createEngine } from '@errata/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateStream } from './generate.js';
import { chatIds } from './generate-chat.js';
import { disposeModel, loadModel } from './model.js';
import { testModelPath, tinyModel } from './testing.js';
import type { Model } from './types.js';

const user = (content: string) => ({ role: 'user', content });

describe('a conversation as a prompt', () => {
  let model: Model;
  beforeAll(async () => {
    model = tinyModel(await createEngine());
  });
  const idsOf = (chatTemplate: string | null, messages = [user('ab')]) => chatIds({ ...model, chatTemplate }, messages);
  const codeOf = (chatTemplate: string | null, messages = [user('ab')]) => {
    try {
      idsOf(chatTemplate, messages);
      return 'none';
    } catch (error) {
      return (error as { code?: string }).code;
    }
  };

  it('is what the template makes of it behind the sink, which stands there once', () => {
    const template =
      '{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}{% if add_generation_prompt %}>{% endif %}';
    const ids = idsOf(template, [user('ab'), user('c')]);
    expect(ids).toEqual([model.sinkId, ...model.tokenizer.ids('user:ab;user:c;>')]);
    expect(idsOf(`<|endoftext|>${template}`)).toEqual([model.sinkId, ...model.tokenizer.ids('user:ab;>')]);
  });

  it('is refused where there is no template, no text, a fault of the template, or too much', () => {
    expect(codeOf(null)).toBe('NO_CHAT_TEMPLATE');
    expect(codeOf('')).toBe('EMPTY_TOKENS');
    expect(codeOf('{{ messages[0].content }}', [user('x'.repeat(301))])).toBe('PROMPT_TOO_LONG');
    expect(codeOf('{{ messages[0].content }}', [user('x'.repeat(100_000))])).toBe('PROMPT_TOO_LONG');
    expect(codeOf("{{ raise_exception('roles must alternate') }}")).toBe('CHAT_REFUSED');
    expect(codeOf('{% if %}')).toBe('CHAT_REFUSED');
  });
});

describe.skipIf(testModelPath === '')('a conversation with SmolLM2', () => {
  let model: Model;
  beforeAll(async () => {
    model = await loadModel({ engine: await createEngine(), path: testModelPath });
  });
  afterAll(() => disposeModel(model));

  it('is answered up to the end of the message', async () => {
    const ids = chatIds(model, [user('What is the capital of France? Answer in one sentence.')]);
    expect(ids.slice(0, 2)).toEqual([model.sinkId, ...model.tokenizer.ids('<|im_start|>')]);
    let text = '';
    let finish: string | null = null;
    for await (const piece of generateStream(model, ids, { maxTokens: 32 })) {
      text += piece.text;
      finish = piece.finish;
    }
    expect(text).toBe('The capital of France is Paris.');
    expect(finish).toBe('stop');
  });
});
