import { bpeModel } from './bpe.js';
import { byteLevelDecoder } from './decoders.js';
import type { TokenizerParts } from './pipeline.js';
import { byteLevel, digits, inTurn } from './pre-tokenizers.js';
import { mergeOf, plainToken, vocabularyOf } from './vocabulary.js';

/** What a byte-level BPE tokenizer is made of. */
export interface TokenizerSource {
  /** By id. */
  readonly tokens: readonly string[];
  /** "left right", best first. */
  readonly merges: readonly string[];
  /** Ids of tokens that are matched in the text as they are, before anything else. */
  readonly specialIds: readonly number[];
  /** Ids that end a generation. */
  readonly endIds: readonly number[];
}

const inMemory = 'a vocabulary in memory';

/** The parts of a tokenizer that keeps digits apart and splits words as GPT-2 does. */
export function byteLevelParts(source: TokenizerSource): TokenizerParts {
  const { ids, tokens } = vocabularyOf(
    inMemory,
    source.tokens.map((token, id) => [token, id]),
  );
  const merges = source.merges.map((merge) => mergeOf(inMemory, merge));
  return {
    tokens,
    added: source.specialIds.map((id) => plainToken(id, source.tokens[id], true)),
    normalizer: null,
    preTokenizer: inTurn([digits(true), byteLevel({ addPrefixSpace: false, words: true })]),
    model: bpeModel({ ids, merges, ignoreMerges: false, byteFallback: false, unknown: null }, inMemory),
    decoder: byteLevelDecoder,
    bosId: null,
    endIds: source.endIds,
  };
}
