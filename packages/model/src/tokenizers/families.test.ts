import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sinkOf, tokenizerFor, tokenizerFromGguf } from '../tokenizer.js';
import { type Family, families, familyFixture, fromJson, ggufMetadata } from './testing.js';

const unicode = fc.string({ unit: 'binary', maxLength: 60 });
/** Forms that rewrite characters; Hugging Face's offsets then leave out the marks that were composed. */
const rewriting: Partial<Record<Family, 'NFC' | 'NFKC'>> = { neox: 'NFC', qwen3: 'NFC', odd: 'NFKC' };

describe.each(families)('%s', (family) => {
  const { tokenizer: json, cases } = familyFixture(family);
  const tokenizer = fromJson(json);

  it("yields the ids of Hugging Face's tokenizers", () => {
    expect(cases.length).toBeGreaterThanOrEqual(60);
    const wrong = cases.filter(({ text, ids }) => tokenizer.ids(text).join() !== ids.join());
    expect(wrong.map(({ text, ids }) => ({ text, ids, got: tokenizer.ids(text) }))).toEqual([]);
  });

  it('yields their decoded texts', () => {
    for (const { ids, decoded } of cases) expect(tokenizer.decode(ids)).toBe(decoded);
  });

  it('yields their offsets, wider where characters were composed', () => {
    const form = rewriting[family];
    const kept = (text: string): boolean => !form || (text.normalize(form) === text && !/ {2}/.test(text));
    expect(cases.filter(({ text }) => kept(text)).length).toBeGreaterThan(50);
    for (const { text, starts, ends } of cases) {
      const got = tokenizer.encode(text);
      if (kept(text)) expect({ text, starts: got.starts, ends: got.ends }).toEqual({ text, starts, ends });
      else
        for (let i = 0; i < starts.length; i++) {
          expect(got.starts[i]).toBeLessThanOrEqual(starts[i]);
          expect(got.ends[i]).toBeGreaterThanOrEqual(ends[i]);
        }
    }
  });

  it('covers any text with offsets in order', () => {
    // Only the odd one takes text away: dashes, and white space at the end.
    const removed = family === 'odd' ? /[-\u2010-\u2015\p{White_Space}\p{M}]/u : /(?!)/u;
    fc.assert(
      fc.property(unicode, (text) => {
        fc.pre(!removed.test(text.normalize('NFKC')));
        const { ids, starts, ends } = tokenizer.encode(text);
        expect([starts.length, ends.length]).toEqual([ids.length, ids.length]);
        let covered = 0;
        for (let i = 0; i < ids.length; i++) {
          expect(starts[i]).toBeLessThanOrEqual(covered);
          expect(starts[i]).toBeGreaterThanOrEqual(starts[i - 1] ?? 0);
          expect(ends[i]).toBeGreaterThan(starts[i]);
          expect(ends[i]).toBeGreaterThanOrEqual(ends[i - 1] ?? 0);
          covered = ends[i];
        }
        expect(covered).toBe(text.length);
      }),
    );
  });

  it('adds the bytes of its tokens up to the decoded text', () => {
    const space = family === 'llama2' || family === 'mistral' ? 1 : 0;
    for (const { ids, decoded } of cases) {
      const text = Buffer.concat(ids.map((id) => tokenizer.bytesOf(id))).toString();
      expect(text.startsWith(' ') && space ? text.slice(1) : text).toBe(decoded);
    }
  });
});

describe('texts come back', () => {
  it.each(['gpt2', 'smollm2', 'llama3', 'tekken'] as const)('from %s, whatever they are', (family) => {
    const tokenizer = fromJson(familyFixture(family).tokenizer);
    fc.assert(fc.property(unicode, (text) => tokenizer.decode(tokenizer.ids(text)) === text));
  });

  it.each(['qwen3', 'neox'] as const)('from %s, in normal form C', (family) => {
    const tokenizer = fromJson(familyFixture(family).tokenizer);
    fc.assert(fc.property(unicode, (text) => tokenizer.decode(tokenizer.ids(text)) === text.normalize('NFC')));
  });

  it.each(['llama2', 'gemma'] as const)('from %s, with spaces for ▁', (family) => {
    const tokenizer = fromJson(familyFixture(family).tokenizer);
    fc.assert(fc.property(unicode, (text) => tokenizer.decode(tokenizer.ids(text)) === text.replaceAll('▁', ' ')));
  });

  it('with lone surrogates replaced, at the same offsets', () => {
    const tokenizer = fromJson(familyFixture('gpt2').tokenizer);
    const { ids, starts, ends } = tokenizer.encode('a\ud800b');
    expect(tokenizer.decode(ids)).toBe('a\ufffdb');
    expect([starts.at(-1), ends.at(-1)]).toEqual([2, 3]);
  });

  it('with the whole of a character for each of its byte tokens', () => {
    const { ids, starts, ends } = fromJson(familyFixture('llama2').tokenizer).encode('a👍b');
    const bytes = ids.map((_, i) => i).filter((i) => starts[i] === 1);
    expect(bytes).toHaveLength(4);
    for (const i of bytes) expect(ends[i]).toBe(3);
  });
});

describe('a GGUF file', () => {
  const pres: Partial<Record<Family, string>> = {
    gpt2: 'gpt-2',
    smollm2: 'smollm',
    llama3: 'llama-bpe',
    qwen3: 'qwen2',
    tekken: 'tekken',
    llama2: 'default',
    gemma: 'default',
  };

  it.each(Object.entries(pres) as [Family, string][])('tokenises like tokenizer.json for %s', (family, pre) => {
    const held = familyFixture(family);
    const metadata = ggufMetadata(held, pre);
    if (family === 'gemma') metadata.set('tokenizer.ggml.add_space_prefix', false);
    const tokenizer = tokenizerFromGguf({ path: 'model.gguf', metadata });
    for (const { text, ids, starts, ends, decoded } of held.cases) {
      const got = tokenizer.encode(text);
      expect({ text, ids: got.ids }).toEqual({ text, ids });
      if (family !== 'qwen3') expect({ text, ...got }).toEqual({ text, ids, starts, ends });
      expect(tokenizer.decode(ids)).toBe(decoded);
    }
  });

  it('names where texts begin and end', () => {
    const metadata = ggufMetadata(familyFixture('llama2'), 'default');
    metadata.set('tokenizer.ggml.bos_token_id', 1).set('tokenizer.ggml.eos_token_id', 2);
    const tokenizer = tokenizerFromGguf({ path: 'model.gguf', metadata });
    expect([tokenizer.bosId, [...tokenizer.endIds]]).toEqual([1, [2]]);
    expect(sinkOf(tokenizer, 'model.gguf')).toBe(1);
  });
});

describe('a folder', () => {
  const idOf = (family: Family, content: string): number | undefined =>
    familyFixture(family).tokenizer.added_tokens.find((token) => token.content === content)?.id;

  it.each([
    ['gpt2', '<|endoftext|>'],
    ['smollm2', '<|endoftext|>'],
    ['qwen3', '<|endoftext|>'],
    ['llama2', '<s>'],
    ['mistral', '<s>'],
    ['llama3', '<|begin_of_text|>'],
    ['gemma', '<bos>'],
  ] as const)('of %s has the sink %s', (family, content) => {
    const tokenizer = fromJson(familyFixture(family).tokenizer);
    expect(sinkOf(tokenizer, 'folder')).toBe(idOf(family, content));
    expect(tokenizer.ids(content)).toEqual([idOf(family, content)]);
    expect(tokenizer.specialId(content)).toBe(idOf(family, content));
  });

  it('takes the beginning and the ends from its configurations', () => {
    const { tokenizer } = familyFixture('tekken');
    expect(fromJson(tokenizer).bosId).toBeNull();
    expect(fromJson(tokenizer, { config: { bos_token_id: 5 } }).bosId).toBe(5);
    const named = { bos_token: { content: '<s>' }, eos_token: '</s>' };
    const { bosId, endIds } = fromJson(tokenizer, {
      tokenizerConfig: named,
      config: { eos_token_id: 3 },
      generationConfig: { eos_token_id: [3, 4] },
    });
    expect([bosId, [...endIds]]).toEqual([idOf('tekken', '<s>'), [3, 4, idOf('tekken', '</s>')]]);
    expect([...fromJson(familyFixture('llama3').tokenizer).endIds].sort()).toEqual(
      [idOf('llama3', '<|end_of_text|>'), idOf('llama3', '<|eot_id|>')].sort(),
    );
  });

  it('is one of the two kinds of model files', () => {
    const { tokenizer: json, cases } = familyFixture('llama3');
    const weights = { path: 'folder', tensors: new Map(), read: () => new Float32Array() };
    const others = { config: {}, generationConfig: null, tokenizerConfig: null, chatTemplate: null, weights };
    const folder = tokenizerFor({ kind: 'folder', path: 'folder', tokenizer: json, ...others });
    const metadata = ggufMetadata(familyFixture('llama3'), 'llama-bpe');
    const gguf = tokenizerFor({ kind: 'gguf', path: 'model.gguf', metadata, weights });
    for (const { text, ids } of cases) expect([folder.ids(text), gguf.ids(text)]).toEqual([ids, ids]);
    expect([folder.size, gguf.size]).toEqual([903, 903]);
  });
});

describe('running text', () => {
  it.each(['llama2', 'mistral'] as const)('of %s goes on without a space of its own', (family) => {
    const tokenizer = fromJson(familyFixture(family).tokenizer);
    const before = tokenizer.ids('The capital of France is');
    const whole = tokenizer.ids('The capital of France is Paris');
    expect(tokenizer.runningIds(' Paris')).toEqual(whole.slice(before.length));
    expect(tokenizer.runningIds('is')).not.toEqual(tokenizer.ids('is'));
  });

  it.each(['gpt2', 'qwen3', 'gemma'] as const)('of %s is as any', (family) => {
    const tokenizer = fromJson(familyFixture(family).tokenizer);
    for (const text of [' Paris', 'Paris', '\nis']) expect(tokenizer.runningIds(text)).toEqual(tokenizer.ids(text));
  });
});
