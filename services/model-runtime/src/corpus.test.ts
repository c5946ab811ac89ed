import type { Tokenizer } from '@errata/model';
import { byteTokenizer } from '@errata/model/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Corpus, covarianceSequences, perplexitySequences, readCorpus, sequenceTokens } from './corpus.js';

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

  it('yields at least the tokens asked for, the same every time, and a longer run begins with the shorter', () => {
    const first = covarianceSequences(tokenizer, corpus, 41_000);
    const tokens = first.sequences.reduce((sum, ids) => sum + ids.length, 0);
    expect(tokens).toBeGreaterThanOrEqual(41_000);
    expect(tokens).toBeLessThan(41_000 + sequenceTokens);
    expect(covarianceSequences(tokenizer, corpus, 41_000)).toEqual(first);
    const longer = covarianceSequences(tokenizer, corpus, 60_000);
    expect(longer.sequences.slice(0, first.sequences.length)).toEqual(first.sequences);
    expect(longer.corpusId).not.toBe(first.corpusId);
    expect(new Set(longer.sequences.map((ids) => ids.join())).size).toBe(longer.sequences.length);
  });

  it('refuses more tokens than it has', () => {
    expect(() => covarianceSequences(tokenizer, corpus, 50_000_000)).toThrow('too small');
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
