import { describe, expect, it } from 'vitest';
import type { GgufFiles } from '../model-files.js';
import { ggufTokenizer } from './from-gguf.js';
import { familyFixture, fromJson, ggufMetadata } from './testing.js';
import { folderTokenizerOf } from './to-json.js';

/** Families with the name that GGUF files have for their split. */
const named = [
  ['gpt2', 'gpt-2'],
  ['smollm2', 'smollm'],
  ['llama3', 'llama-bpe'],
  ['qwen3', 'qwen2'],
  ['tekken', 'tekken'],
  ['llama2', 'default'],
] as const;

describe.each(named)('%s', (family, pre) => {
  const fixture = familyFixture(family);
  const metadata = ggufMetadata(fixture, pre);
  const files = { kind: 'gguf', path: 'model.gguf', metadata } as unknown as GgufFiles;

  it('tokenises as the GGUF file it was made from, and decodes alike', () => {
    const { tokenizer, tokenizerConfig } = folderTokenizerOf(files);
    const written = fromJson(JSON.parse(JSON.stringify(tokenizer)), { tokenizerConfig });
    const original = ggufTokenizer(files);
    for (const { text } of fixture.cases) {
      const ids = original.ids(text);
      expect({ text, ids: written.ids(text) }).toEqual({ text, ids });
      expect(written.decode(ids)).toBe(original.decode(ids));
    }
    expect(written.size).toBe(original.size);
  });
});

it('begins texts with the token that the file wants there', () => {
  const metadata = ggufMetadata(familyFixture('llama3'), 'llama-bpe');
  metadata.set('tokenizer.ggml.add_bos_token', true).set('tokenizer.ggml.bos_token_id', 3);
  const files = { kind: 'gguf', path: 'model.gguf', metadata } as unknown as GgufFiles;
  const { tokenizer, tokenizerConfig } = folderTokenizerOf(files);
  expect(fromJson(tokenizer, { tokenizerConfig }).bosId).toBe(3);
});

it('refuses what it cannot write', () => {
  const metadata = ggufMetadata(familyFixture('gpt2'), 'unheard-of');
  const files = { kind: 'gguf', path: 'model.gguf', metadata } as unknown as GgufFiles;
  expect(() => folderTokenizerOf(files)).toThrow('unheard-of');
});
