import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openModelFiles } from './model-files.js';
import { modelHash } from './model-hash.js';
import {
  ggufBytes,
  pair,
  refusal,
  safetensorsBytes,
  temporaryFiles,
  temporaryFolders,
  u32,
  weightFixture,
} from './weight-testing.js';

type Content = Uint8Array | string | object;

const shard = (names: readonly string[], first = 1): Buffer =>
  safetensorsBytes(
    Object.fromEntries(names.map((name, i) => [name, { dtype: 'F32', shape: [2], data_offsets: [8 * i, 8 * i + 8] }])),
    Buffer.from(Float32Array.from({ length: 2 * names.length }, (_, i) => first + i).buffer),
  );

const index = (map: Record<string, unknown>): object => ({ metadata: { total_size: 0 }, weight_map: map });

const texts = { 'config.json': { model_type: 'llama' }, 'tokenizer.json': { model: { type: 'BPE' } } };

const sharded = {
  ...texts,
  'model-00001-of-00002.safetensors': shard(['a', 'b']),
  'model-00002-of-00002.safetensors': shard(['c'], 10),
  'model.safetensors.index.json': index({
    a: 'model-00001-of-00002.safetensors',
    b: 'model-00001-of-00002.safetensors',
    c: 'model-00002-of-00002.safetensors',
  }),
};

const temporaryFolder = temporaryFolders(afterAll);
const file = temporaryFiles(afterAll);

function folder(files: Readonly<Record<string, Content>>): string {
  const path = temporaryFolder();
  for (const [name, content] of Object.entries(files))
    writeFileSync(
      join(path, name),
      typeof content === 'string' || content instanceof Uint8Array ? content : JSON.stringify(content),
    );
  return path;
}

const withIndex = (map: Record<string, unknown>): Record<string, Content> => ({
  ...sharded,
  'model.safetensors.index.json': index(map),
});

describe('openModelFiles', () => {
  it('opens one file of weights with its texts', async () => {
    const files = await openModelFiles(
      folder({
        ...texts,
        'model.safetensors': shard(['a']),
        'generation_config.json': { eos_token_id: 2 },
        'tokenizer_config.json': { chat_template: 'of the configuration' },
      }),
    );
    if (files.kind !== 'folder') throw new Error(files.kind);
    expect(files.config).toEqual({ model_type: 'llama' });
    expect(files.generationConfig).toEqual({ eos_token_id: 2 });
    expect(files.tokenizer).toEqual({ model: { type: 'BPE' } });
    expect(files.chatTemplate).toBe('of the configuration');
    expect([...files.weights.read('a')]).toEqual([1, 2]);
  });

  it('opens sharded weights; what is optional may be missing', async () => {
    const files = await openModelFiles(folder(sharded));
    if (files.kind !== 'folder') throw new Error(files.kind);
    expect([files.generationConfig, files.tokenizerConfig, files.chatTemplate]).toEqual([null, null, null]);
    expect([...files.weights.tensors.keys()].sort()).toEqual(['a', 'b', 'c']);
    const out = new Float32Array(2);
    expect(files.weights.read('c', out)).toBe(out);
    expect([...out, ...files.weights.read('b')]).toEqual([10, 11, 3, 4]);
    expect((await refusal(() => files.weights.read('d'))).message).toMatch(/tensor "d"/);
  });

  it.each([
    [
      'the file before the configuration',
      'of the file',
      { 'chat_template.jinja': 'of the file' },
      'of the configuration',
    ],
    [
      'the default of several',
      'plain',
      {},
      [
        { name: 'tool_use', template: 'tools' },
        { name: 'default', template: 'plain' },
      ],
    ],
    ['none without a default', null, {}, [{ name: 'tool_use', template: 'tools' }]],
    ['none where it is no text', null, {}, 7],
  ])('chat template: %s', async (_, wanted, more, template) => {
    const files = await openModelFiles(
      folder({ ...sharded, ...more, 'tokenizer_config.json': { chat_template: template } }),
    );
    expect(files.kind === 'folder' && files.chatTemplate).toBe(wanted);
  });

  it('follows links out of the folder, as the cache of the Hugging Face hub has them', async () => {
    const path = folder(texts);
    const blob = file('blob', shard(['a']));
    symlinkSync(blob, join(path, 'model.safetensors'));
    expect([...(await openModelFiles(path)).weights.read('a')]).toEqual([1, 2]);
  });

  it('opens a GGUF file', async () => {
    const files = await openModelFiles(weightFixture('tiny.gguf'));
    if (files.kind !== 'gguf') throw new Error(files.kind);
    expect(files.metadata.get('general.architecture')).toBe('llama');
    expect([...files.weights.read('last')]).toEqual([1, 2, 3]);
    expect((await refusal(() => files.weights.read('none'))).message).toMatch(/no tensor "none"/);
  });

  const cases: [name: string, path: () => string, code: string, message: RegExp][] = [
    ['nothing there', () => '/nowhere/model', 'FILE_NOT_FOUND', /no model at \/nowhere/],
    ['an empty folder', () => folder({}), 'FILE_NOT_FOUND', /neither model.safetensors nor/],
    [
      'pickled weights only',
      () => folder({ ...texts, 'pytorch_model.bin': 'x' }),
      'UNSUPPORTED_FORMAT',
      /save_pretrained/,
    ],
    [
      'pickled shards only',
      () => folder({ ...texts, 'pytorch_model.bin.index.json': {} }),
      'UNSUPPORTED_FORMAT',
      /pickle/,
    ],
    ['a folder around a GGUF file', () => folder({ 'm.gguf': 'x' }), 'UNSUPPORTED_FORMAT', /name the file m.gguf/],
    ['a weight file by itself', () => file('model.safetensors', shard(['a'])), 'UNSUPPORTED_FORMAT', /config.json/],
    [
      'one part of a split GGUF',
      () => file('part.gguf', ggufBytes({ pairs: [pair('split.count', 4, u32(3))] })),
      'UNSUPPORTED_FORMAT',
      /3 parts.*--merge/,
    ],
    ['no config.json', () => folder({ 'model.safetensors': shard(['a']) }), 'FILE_NOT_FOUND', /no config.json/],
    [
      'no tokenizer.json',
      () => folder({ 'model.safetensors': shard(['a']), 'config.json': {} }),
      'FILE_NOT_FOUND',
      /AutoTokenizer/,
    ],
    [
      'a config.json that is no JSON',
      () => folder({ ...sharded, 'config.json': '{' }),
      'FILE_MALFORMED',
      /config.json: is not JSON/,
    ],
    [
      'a config.json that is a list',
      () => folder({ ...sharded, 'config.json': '[]' }),
      'FILE_MALFORMED',
      /config.json: is not a JSON object/,
    ],
    [
      'a config.json that is no UTF-8',
      () => folder({ ...sharded, 'config.json': Buffer.from([0x22, 0xff, 0x22]) }),
      'FILE_MALFORMED',
      /not UTF-8/,
    ],
    [
      'an index without a map',
      () => folder({ ...sharded, 'model.safetensors.index.json': {} }),
      'FILE_MALFORMED',
      /no weight_map/,
    ],
    ['an index with an empty map', () => folder(withIndex({})), 'FILE_MALFORMED', /no weight_map/],
    [
      'a file above the folder',
      () => folder(withIndex({ a: '../model.safetensors' })),
      'FILE_MALFORMED',
      /"\.\.\/model.safetensors"/,
    ],
    ['an absolute path', () => folder(withIndex({ a: '/etc/model.safetensors' })), 'FILE_MALFORMED', /"\/etc/],
    [
      'a path with backslashes',
      () => folder(withIndex({ a: '..\\model.safetensors' })),
      'FILE_MALFORMED',
      /no safetensors file of this folder/,
    ],
    ['a file of another format', () => folder(withIndex({ a: 'config.json' })), 'FILE_MALFORMED', /"config.json"/],
    ['a file name that is a number', () => folder(withIndex({ a: 1 })), 'FILE_MALFORMED', /"1"/],
    [
      'a file that is missing',
      () => folder(withIndex({ a: 'model-00009.safetensors' })),
      'FILE_NOT_FOUND',
      /model-00009/,
    ],
    [
      'a tensor that its file lacks',
      () => folder(withIndex({ c: 'model-00001-of-00002.safetensors' })),
      'FILE_MALFORMED',
      /lacks the tensor "c"/,
    ],
    [
      'a tensor in two files',
      () => folder({ ...sharded, 'model-00002-of-00002.safetensors': shard(['c', 'a']) }),
      'FILE_MALFORMED',
      /"a" is in .*00001-of-00002.safetensors, too/,
    ],
    [
      'a malformed shard',
      () => folder({ ...sharded, 'model-00002-of-00002.safetensors': Buffer.alloc(20) }),
      'FILE_MALFORMED',
      /00002-of-00002/,
    ],
  ];
  it.each(cases)('refuses %s', async (_, path, code, message) => {
    const found = await refusal(() => openModelFiles(path()));
    expect([found.code, found.message]).toEqual([code, expect.stringMatching(message)]);
  });
});

describe('modelHash', () => {
  const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex');

  it('of a GGUF file is that of its bytes, and is kept beside it until the file changes', async () => {
    const path = join(temporaryFolder(), 'm.gguf');
    copyFileSync(weightFixture('tiny.gguf'), path);
    const digest = await modelHash(path);
    expect(digest).toMatch(/^[0-9a-f]{64}$/);
    expect(await modelHash(path)).toBe(digest);
    writeFileSync(path, 'other');
    utimesSync(path, 1, 1);
    expect(await modelHash(path)).toBe(sha256('other'));
  });

  it('of a folder is that of the sorted output of sha256sum', async () => {
    const path = folder({ ...sharded, 'README.md': 'not part of the model' });
    const lines = [
      ['config.json', JSON.stringify(texts['config.json'])],
      ['model-00001-of-00002.safetensors', sharded['model-00001-of-00002.safetensors']],
      ['model-00002-of-00002.safetensors', sharded['model-00002-of-00002.safetensors']],
      ['tokenizer.json', JSON.stringify(texts['tokenizer.json'])],
    ] as const;
    expect(await modelHash(path)).toBe(sha256(lines.map(([name, data]) => `${sha256(data)}  ${name}\n`).join('')));
  });

  it.each(['config.json', 'tokenizer.json', 'model-00002-of-00002.safetensors'])('changes with %s', async (name) => {
    const path = folder(sharded);
    const before = await modelHash(path);
    writeFileSync(join(path, name), 'other');
    expect(await modelHash(path)).not.toBe(before);
  });

  it('names what is missing', async () => {
    expect(await refusal(() => modelHash('/nowhere/m.gguf'))).toMatchObject({ code: 'FILE_NOT_FOUND' });
    const path = folder(sharded);
    rmSync(join(path, 'tokenizer.json'));
    expect((await refusal(() => modelHash(path))).message).toMatch(/tokenizer.json/);
    mkdirSync(join(path, 'tokenizer.json'));
    expect((await refusal(() => modelHash(path))).code).toBe('FILE_NOT_FOUND');
  });
});
