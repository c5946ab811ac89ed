import { createEngine } from '@errata/tensor';
import { describe, expect, it } from 'vitest';
import { type ChatTokens, chatTokensOf } from './chat-tokens.js';
import { chatIds } from './generate-chat.js';
import type { FolderFiles, GgufFiles } from './model-files.js';
import { tinyModel } from './testing.js';
import { familyFixture, fromJson } from './tokenizers/testing.js';

const weights = { path: '', tensors: new Map(), read: () => new Float32Array() };
const folder = (given: Partial<FolderFiles>): ChatTokens =>
  chatTokensOf({
    kind: 'folder',
    path: '',
    config: {},
    generationConfig: null,
    tokenizer: {
      added_tokens: [
        { id: 1, content: '<s>' },
        { id: 2, content: '</s>' },
      ],
    },
    tokenizerConfig: null,
    chatTemplate: null,
    weights,
    ...given,
  });

describe('the tokens that a template writes', () => {
  it('are those of tokenizer_config.json, written either way, and none where it says so', () => {
    expect(folder({ tokenizerConfig: { bos_token: '<s>', eos_token: { content: '</s>', lstrip: false } } })).toEqual({
      bos: '<s>',
      eos: '</s>',
    });
    const qwen = { tokenizerConfig: { bos_token: null, eos_token: '<|im_end|>' }, config: { bos_token_id: 1 } };
    expect(folder(qwen)).toEqual({ bos: '', eos: '<|im_end|>' });
  });

  it('are else those of special_tokens_map.json, or of the ids of the configuration', () => {
    const special = { bos_token: { content: '<bos>' }, eos_token: '<eos>' };
    expect(folder({ specialTokensMap: special, tokenizerConfig: { model_max_length: 9 } })).toEqual({
      bos: '<bos>',
      eos: '<eos>',
    });
    expect(folder({ generationConfig: { bos_token_id: 1, eos_token_id: [2, 9] } })).toEqual({
      bos: '<s>',
      eos: '</s>',
    });
    expect(folder({ config: { bos_token_id: 1, eos_token_id: 77 } })).toEqual({ bos: '<s>', eos: '' });
    expect(folder({})).toEqual({ bos: '', eos: '' });
  });

  it('are those of the ids of a GGUF file', () => {
    const metadata = new Map<string, unknown>([
      ['tokenizer.ggml.tokens', ['<unk>', '<s>', '</s>']],
      ['tokenizer.ggml.bos_token_id', 1],
      ['tokenizer.ggml.eos_token_id', 2],
    ]);
    const files: GgufFiles = { kind: 'gguf', path: '', metadata, weights };
    expect(chatTokensOf(files)).toEqual({ bos: '<s>', eos: '</s>' });
    expect(chatTokensOf({ ...files, metadata: new Map() })).toEqual({ bos: '', eos: '' });
  });
});

/** In the manner of Mistral's: turns between markers, each answer ended. */
const instructions = `{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}`;

/** In the manner of Llama 2's: every turn of two begins anew, and the system's word stands in the first. */
const turns = `{% if messages[0].role == 'system' %}{% set word = messages[0].content %}{% set rest = messages[1:] %}{% else %}{% set word = '' %}{% set rest = messages %}{% endif %}{% for m in rest %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' }}{% if loop.first and word %}{{ '<<SYS>>' + word + '<</SYS>> ' }}{% endif %}{{ m.content + ' [/INST]' }}{% else %}{{ ' ' + m.content + ' ' + eos_token }}{% endif %}{% endfor %}`;

describe('a conversation for a model whose texts begin with <s>', () => {
  const talk = [
    { role: 'user', content: 'Hi' },
    { role: 'assistant', content: 'Hello' },
    { role: 'user', content: 'Why?' },
  ];

  it.each([
    ['mistral', instructions, 1, 1],
    ['llama2', turns, 2, 1],
  ] as const)('%s: begins once with that token, and ends every answer', async (name, chatTemplate, begins, ends) => {
    const tokenizer = fromJson(familyFixture(name).tokenizer);
    const [bos, eos] = [tokenizer.specialId('<s>'), tokenizer.specialId('</s>')] as [number, number];
    const model = {
      ...tinyModel(await createEngine()),
      tokenizer,
      sinkId: bos,
      chatTokens: { bos: '<s>', eos: '</s>' },
    };
    const ids = chatIds({ ...model, chatTemplate }, talk);
    expect(ids[0]).toBe(bos);
    expect(ids[1]).not.toBe(bos);
    expect(ids.filter((id) => id === bos)).toHaveLength(begins);
    expect(ids.filter((id) => id === eos)).toHaveLength(ends);
    const told = chatIds({ ...model, chatTemplate: turns }, [{ role: 'system', content: 'Be kind.' }, ...talk]);
    expect(tokenizer.decode(told)).toContain('<<SYS>>Be kind.<</SYS>>');
  });
});
