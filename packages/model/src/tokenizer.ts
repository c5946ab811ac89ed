import { ModelError } from './errors.js';
import type { GgufFile } from './gguf.js';
import type { ModelFiles } from './model-files.js';
import { byteLevelParts, type TokenizerSource } from './tokenizers/byte-level.js';
import { ggufTokenizer } from './tokenizers/from-gguf.js';
import { folderTokenizer } from './tokenizers/from-json.js';
import { PipelineTokenizer } from './tokenizers/pipeline.js';

export type { TokenizerSource } from './tokenizers/byte-level.js';

/** Token ids with the stretch of text each came from, in UTF-16 units; a token inside a character covers all of it. */
export interface Encoding {
  readonly ids: number[];
  readonly starts: number[];
  readonly ends: number[];
}

/** Text to token ids and back. */
export interface Tokenizer {
  /** Ids that end a generation. */
  readonly endIds: ReadonlySet<number>;
  /** The token that texts begin with, where the vocabulary names one; it is never added by {@link encode}. */
  readonly bosId: number | null;
  /** One more than the largest id. */
  readonly size: number;
  /** Tokenises a text; nothing is added in front. Special tokens are found in it. Lone surrogates become U+FFFD. */
  encode(text: string): Encoding;
  /** Ids of {@link encode}. */
  ids(text: string): number[];
  /**
   * Ids of a text that goes on with another: without the space that SentencePiece vocabularies put before the first
   * word of a text.
   */
  runningIds(text: string): number[];
  /** Text of tokens; special tokens are left out, malformed UTF-8 becomes U+FFFD. */
  decode(ids: readonly number[]): string;
  /** UTF-8 of a token as it stands in running text; nothing for special tokens and unknown ids. */
  bytesOf(id: number): Uint8Array;
  /** Id of a special token by its text. */
  specialId(text: string): number | undefined;
}

/** Byte-level BPE (GPT-2) that keeps digits apart, from a vocabulary in memory. */
export class ByteLevelTokenizer extends PipelineTokenizer {
  /** @throws ModelError FILE_MALFORMED for merges of tokens that the vocabulary lacks */
  constructor(source: TokenizerSource) {
    super(byteLevelParts(source));
  }
}

/**
 * The tokenizer of a model: tokenizer.json of a folder, or the vocabulary in a GGUF file's metadata.
 * @throws ModelError UNSUPPORTED_FORMAT, FILE_MALFORMED
 */
export function tokenizerFor(files: ModelFiles): Tokenizer {
  switch (files.kind) {
    case 'gguf':
      return ggufTokenizer(files);
    case 'folder':
      return folderTokenizer(files);
  }
}

/**
 * The tokenizer in the metadata of a GGUF file.
 * @throws ModelError UNSUPPORTED_FORMAT, FILE_MALFORMED
 */
export function tokenizerFromGguf(file: Pick<GgufFile, 'path' | 'metadata'>): Tokenizer {
  return ggufTokenizer(file);
}

/**
 * The token that every prompt is put behind: `<|endoftext|>` where the vocabulary has it, else the token that texts
 * begin with.
 * @throws ModelError FILE_MALFORMED where there is neither
 */
export function sinkOf(tokenizer: Pick<Tokenizer, 'specialId' | 'bosId'>, path: string): number {
  const sink = tokenizer.specialId('<|endoftext|>') ?? tokenizer.bosId;
  if (sink === null)
    throw new ModelError(
      'FILE_MALFORMED',
      `${path}: the tokenizer has neither <|endoftext|> nor a beginning-of-text token (bos_token of tokenizer_config.json, tokenizer.ggml.bos_token_id)`,
    );
  return sink;
}
