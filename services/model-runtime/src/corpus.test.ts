import type { Tokenizer } from '@errata/model';
import { byteTokenizer } from '@errata/model/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  type Corpus,
  covarianceSequences,
  perplexitySequences,
  readCorpus,
  sequenceTokens,
  textSequences,
} from './corpus.js';

describe('built-in corpus', () => {
  let corpus: Corpus;
  const tokenizer: Tokenizer = byteTokenizer();
  beforeAll(() => {
    corpus = readCorpus();
  });

  it('holds out every tenth speech', () => {
    expect(corpus.heldOut.length).toBe(Math.floor((corpus.heldOut.length + corpus.training.length) / 10));
    expect(corpus.training[0]).toContain('Senate');
    const training = new Set(corpus.training);
    expect(corpus.heldOut.some((text) => training.has(text))).toBe(false);
  });

  it('yields at least the tokens asked for, the same every time, and a longer run begins with the shorter', async () => {
    const first = await covarianceSequences(tokenizer, corpus, 41_000);
    const tokens = first.sequences.reduce((sum, ids) => sum + ids.length, 0);
    expect(tokens).toBeGreaterThanOrEqual(41_000);
    expect(tokens).toBeLessThan(41_000 + sequenceTokens);
    expect(await covarianceSequences(tokenizer, corpus, 41_000)).toEqual(first);
    const longer = await covarianceSequences(tokenizer, corpus, 60_000);
    expect(longer.sequences.slice(0, first.sequences.length)).toEqual(first.sequences);
    expect(longer.corpusId).not.toBe(first.corpusId);
    expect(new Set(longer.sequences.map((ids) => ids.join())).size).toBe(longer.sequences.length);
  });

  it('refuses more tokens than it has', async () => {
    await expect(covarianceSequences(tokenizer, corpus, 50_000_000)).rejects.toThrow('too small');
  });

  it('measures perplexity on text that the covariance never reads', () => {
    const { sequences } = perplexitySequences(tokenizer, corpus);
    expect(sequences.map((ids) => ids.length)).toEqual(new Array(12).fill(sequenceTokens));
    for (const ids of sequences) {
      const text = tokenizer.decode(ids);
      expect(corpus.heldOut.some((speech) => speech.includes(text))).toBe(true);
      expect(corpus.training.some((speech) => speech.includes(text))).toBe(false);
    }
  });
});

describe('uploaded text', () => {
  const tokenizer: Tokenizer = byteTokenizer();
  const id = `crp_${'0'.repeat(64)}`;
  const words = (count: number, offset = 0) =>
    Array.from({ length: count }, (_, i) => `w${(i + offset).toString(36)}`).join(' ');

  it('is read in whole pieces, spread over the text, the same every time', async () => {
    const text = words(4000);
    const found = await textSequences(tokenizer, { id, text }, 5000);
    const tokens = found.sequences.reduce((sum, ids) => sum + ids.length, 0);
    expect(tokens).toBeGreaterThanOrEqual(5000);
    expect(tokens).toBeLessThan(5000 + 4 * sequenceTokens);
    expect(found.sequences.every((ids) => ids.length <= sequenceTokens)).toBe(true);
    const places = found.sequences.map((ids) => text.indexOf(tokenizer.decode(ids)) / text.length);
    expect(places.every((place) => place >= 0)).toBe(true);
    expect(Math.max(...places)).toBeGreaterThan(0.75);
    expect(await textSequences(tokenizer, { id, text }, 5000)).toEqual(found);
    expect((await textSequences(tokenizer, { id, text: words(4000, 1) }, 5000)).corpusId).not.toBe(found.corpusId);
    const other = await textSequences(tokenizer, { id: `crp_${'1'.repeat(64)}`, text }, 5000);
    expect(other.corpusId).not.toBe(found.corpusId);
  });

  it('never cuts a character in two, with or without white space', async () => {
    const text = '🦉'.repeat(3000);
    const { sequences } = await textSequences(tokenizer, { id, text }, 12_000);
    expect(new Set(sequences.flat())).toEqual(new Set(tokenizer.ids('🦉')));
    expect(sequences.flat()).toHaveLength(12_000);
  });

  it('says how much too short it is', async () => {
    await expect(textSequences(tokenizer, { id, text: 'only a few words, and no more' }, 1000)).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
      message: expect.stringMatching(/holds 29 tokens, 1000 are asked for/),
    });
  });
});
