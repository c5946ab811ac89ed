import { bpeModel } from './bpe.js';
import { byteLevelDecoder, textDecoder } from './decoders.js';
import { namedSplits } from './gguf-pre-tokenizers.js';
import { prepend, replace } from './normalizers.js';
import { PipelineTokenizer, type TokenizerParts } from './pipeline.js';
import { malformed, unsupported } from './refusal.js';
import { scoreModel } from './score-model.js';
import type { AddedToken, Normalizer } from './types.js';
import { endIdsOf, mergeOf, plainToken, vocabularyOf } from './vocabulary.js';

/** Kinds of tokens in `tokenizer.ggml.token_type`. */
export const kinds = { normal: 1, unknown: 2, control: 3, userDefined: 4, byte: 6 } as const;

/** The part of a GGUF file that holds its tokenizer. */
export interface GgufVocabulary {
  readonly path: string;
  readonly metadata: ReadonlyMap<string, unknown>;
}

/** The vocabulary of a GGUF file. */
export interface Entries {
  readonly tokens: readonly string[];
  readonly types: readonly number[];
  readonly added: readonly AddedToken[];
}

/**
 * The tokenizer in the metadata of a GGUF file.
 * @throws ModelError UNSUPPORTED_FORMAT, FILE_MALFORMED
 */
export function ggufTokenizer(file: GgufVocabulary): PipelineTokenizer {
  const entries = entriesOf(file);
  const bos = file.metadata.get('tokenizer.ggml.bos_token_id');
  const named = ['eos', 'eot', 'eom'].map((name) => file.metadata.get(`tokenizer.ggml.${name}_token_id`));
  return new PipelineTokenizer({
    ...steps(file, entries),
    tokens: new Map(entries.tokens.map((token, id) => [id, token])),
    added: entries.added,
    bosId: typeof bos === 'number' && bos >= 0 && bos < entries.tokens.length ? bos : null,
    endIds: endIdsOf(named, entries.added),
  });
}

type Steps = Pick<TokenizerParts, 'normalizer' | 'preTokenizer' | 'model' | 'decoder'>;

function steps(file: GgufVocabulary, entries: Entries): Steps {
  const model = file.metadata.get('tokenizer.ggml.model');
  switch (model) {
    case 'gpt2':
      return byteLevelSteps(file, entries);
    case 'llama':
      return sentencePieceSteps(file, entries);
    default:
      throw unsupported(file.path, 'the model', model, ['gpt2', 'llama']);
  }
}

function byteLevelSteps({ path, metadata }: GgufVocabulary, { tokens }: Entries): Steps {
  const pre = metadata.get('tokenizer.ggml.pre');
  const split = namedSplits.get(String(pre));
  if (!split) throw unsupported(path, 'the pre-tokenizer', pre, [...namedSplits.keys()]);
  const { normalizer, preTokenizer, ignoreMerges } = split;
  const { ids } = vocabularyOf(
    path,
    tokens.map((token, id) => [token, id]),
  );
  const merges = strings(path, metadata, 'tokenizer.ggml.merges').map((merge) => mergeOf(path, merge));
  return {
    normalizer,
    preTokenizer,
    model: bpeModel({ ids, merges, ignoreMerges, byteFallback: false, unknown: null }, path),
    decoder: byteLevelDecoder,
  };
}

/** SentencePiece: `▁` for spaces, one before the first word unless the file says otherwise, and merges by score. */
function sentencePieceSteps({ path, metadata }: GgufVocabulary, { tokens, types }: Entries): Steps {
  const scores = metadata.get('tokenizer.ggml.scores');
  if (!Array.isArray(scores) || scores.length !== tokens.length || !scores.every(Number.isFinite))
    throw malformed(path, 'tokenizer.ggml.scores does not fit the vocabulary');
  const prefixed = metadata.get('tokenizer.ggml.add_space_prefix') !== false;
  const spaces = replace(/ /gu, '▁');
  const prefix = prepend('▁');
  const normalizer: Normalizer = (text, place) => spaces(prefixed ? prefix(text, place) : text, place);
  const idsOf = (...wanted: number[]): Map<string, number> =>
    new Map(tokens.flatMap((token, id) => (wanted.includes(types[id]) ? [[token, id]] : [])));
  const unknownId = types.indexOf(kinds.unknown);
  return {
    normalizer,
    preTokenizer: null,
    model: scoreModel({
      ids: idsOf(kinds.normal, kinds.userDefined),
      byteIds: idsOf(kinds.byte),
      scores,
      unknownId: unknownId < 0 ? null : unknownId,
    }),
    decoder: textDecoder({
      rewrite: (token) => token.replaceAll('▁', ' '),
      byteFallback: true,
      leadingSpaces: prefixed ? 1 : 0,
    }),
  };
}

/** @throws ModelError FILE_MALFORMED */
export function entriesOf({ path, metadata }: GgufVocabulary): Entries {
  const tokens = strings(path, metadata, 'tokenizer.ggml.tokens');
  const types = metadata.get('tokenizer.ggml.token_type');
  if (!Array.isArray(types) || types.length !== tokens.length)
    throw malformed(path, 'tokenizer.ggml.token_type does not fit the vocabulary');
  const added = tokens.flatMap((token, id) => {
    if (types[id] === kinds.control || types[id] === kinds.unknown) return [plainToken(id, token, true)];
    return types[id] === kinds.userDefined ? [plainToken(id, token, false)] : [];
  });
  return { tokens, types, added };
}

/** A list of strings in the metadata. @throws ModelError FILE_MALFORMED */
export function strings(path: string, metadata: ReadonlyMap<string, unknown>, key: string): string[] {
  const value = metadata.get(key);
  if (!Array.isArray(value) || value.length === 0 || !value.every((v) => typeof v === 'string'))
    throw malformed(path, `${key} is not a list of strings`);
  return value;
}
