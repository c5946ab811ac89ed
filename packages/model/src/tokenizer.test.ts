import { beforeAll, describe, expect, it } from 'vitest';
import { openGguf } from './gguf.js';
import { fixture, testModelPath } from './testing.js';
import { type Tokenizer, tokenizerFromGguf } from './tokenizer.js';

describe.skipIf(testModelPath === '')('tokenizer of SmolLM2', () => {
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    tokenizer = tokenizerFromGguf(await openGguf(testModelPath));
  });

  it('yields the ids of every fixture case', () => {
    const { cases } = fixture<{ cases: { text: string; ids: number[] }[] }>('tokenizer_cases.json');
    expect(cases.length).toBeGreaterThan(300);
    const wrong = cases.filter(({ text, ids }) => tokenizer.ids(text).join() !== ids.join());
    expect(wrong).toEqual([]);
  });

  it('decodes what it encoded, byte for byte', () => {
    for (const text of [
      'naïve café',
      '  two  spaces\n\n\ttab',
      'שלום עולם',
      '東京は日本の首都',
      '👩‍👩‍👧 ok 42',
      "it's \u0085 odd\uFEFF",
    ])
      expect(tokenizer.decode(tokenizer.ids(text))).toBe(text);
  });

  it('covers the text with offsets in order, without gaps', () => {
    for (const text of ['Danielle Darrieux speaks', '東京タワー is 333 m', '🇫🇷🇩🇪', 'مرحبا بالعالم']) {
      const { ids, starts, ends } = tokenizer.encode(text);
      expect(starts[0]).toBe(0);
      expect(ends.at(-1)).toBe(text.length);
      for (let i = 1; i < ids.length; i++) expect(starts[i]).toBeLessThanOrEqual(ends[i - 1]);
    }
  });

  it('splits special tokens off first', () => {
    const { ids, starts, ends } = tokenizer.encode('a<|im_end|>b');
    expect(ids).toEqual([...tokenizer.ids('a'), 2, ...tokenizer.ids('b')]);
    expect([starts[1], ends[1]]).toEqual([1, 11]);
  });
});
