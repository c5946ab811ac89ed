import type { GgufFiles } from '../model-files.js';
import { type Entries, entriesOf, kinds, strings } from './from-gguf.js';
import { namedSplits } from './gguf-pre-tokenizers.js';
import type { JsonObject } from './json.js';
import { unsupported } from './refusal.js';

/** The tokenizer of a GGUF file as a Hugging Face folder has it. */
export interface FolderTokenizer {
  /** tokenizer.json */
  readonly tokenizer: JsonObject;
  /** tokenizer_config.json */
  readonly tokenizerConfig: JsonObject;
  /** generation_config.json */
  readonly generationConfig: JsonObject;
}

const space = '▁';

/**
 * Makes the tokenizer files of a folder from the metadata of a GGUF file (tokenizers' tokenizer.json, version 1.0).
 * @throws ModelError UNSUPPORTED_FORMAT, FILE_MALFORMED
 */
export function folderTokenizerOf(files: GgufFiles): FolderTokenizer {
  const entries = entriesOf(files);
  const { metadata } = files;
  const idOf = (name: string) => {
    const id = metadata.get(`tokenizer.ggml.${name}_token_id`);
    return typeof id === 'number' && id < entries.tokens.length ? id : null;
  };
  const tokenOf = (name: string) => {
    const id = idOf(name);
    return id === null
      ? {}
      : { [`${name === 'padding' ? 'pad' : name === 'unknown' ? 'unk' : name}_token`]: entries.tokens[id] };
  };
  const bos = metadata.get('tokenizer.ggml.add_bos_token') === true ? idOf('bos') : null;
  const template = metadata.get('tokenizer.chat_template');
  return {
    tokenizer: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: entries.added.map(({ id, content, special }) => ({
        id,
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special,
      })),
      ...stepsOf(files, entries, bos),
    },
    tokenizerConfig: {
      add_bos_token: bos !== null,
      ...tokenOf('bos'),
      ...(typeof template === 'string' && { chat_template: template }),
      clean_up_tokenization_spaces: false,
      ...tokenOf('eos'),
      ...tokenOf('padding'),
      tokenizer_class: 'PreTrainedTokenizerFast',
      ...tokenOf('unknown'),
    },
    generationConfig: { bos_token_id: idOf('bos'), eos_token_id: idOf('eos') },
  };
}

function stepsOf(files: GgufFiles, entries: Entries, bos: number | null): JsonObject {
  const model = files.metadata.get('tokenizer.ggml.model');
  switch (model) {
    case 'gpt2':
      return byteLevelSteps(files, entries, bos);
    case 'llama':
      return sentencePieceSteps(files, entries, bos);
    default:
      throw unsupported(files.path, 'the model', model, ['gpt2', 'llama']);
  }
}

function byteLevelSteps({ path, metadata }: GgufFiles, { tokens }: Entries, bos: number | null): JsonObject {
  const pre = metadata.get('tokenizer.ggml.pre');
  const split = namedSplits.get(String(pre));
  if (!split) throw unsupported(path, 'the pre-tokenizer', pre, [...namedSplits.keys()]);
  const decoder = { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true };
  return {
    normalizer: split.normalizer ? { type: 'NFC' } : null,
    pre_tokenizer: split.entry,
    post_processor: bos === null ? { ...decoder, trim_offsets: false } : beginning(bos, tokens[bos]),
    decoder,
    model: bpe(tokens, strings(path, metadata, 'tokenizer.ggml.merges'), {
      ignoreMerges: split.ignoreMerges,
      byteFallback: false,
      unknown: null,
    }),
  };
}

/** SentencePiece's BPE as merges: of tokens by score, every way to make them of two others. */
function sentencePieceSteps({ metadata }: GgufFiles, { tokens, types }: Entries, bos: number | null): JsonObject {
  const prefixed = metadata.get('tokenizer.ggml.add_space_prefix') !== false;
  const scores = metadata.get('tokenizer.ggml.scores') as number[];
  const spaces = { type: 'Replace', pattern: { String: ' ' }, content: space };
  const unknown = types.indexOf(kinds.unknown);
  return {
    normalizer: prefixed ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: space }, spaces] } : spaces,
    pre_tokenizer: null,
    post_processor: bos === null ? null : beginning(bos, tokens[bos]),
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: space }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(prefixed ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    model: bpe(tokens, mergesByScore(tokens, types, scores), {
      ignoreMerges: false,
      byteFallback: true,
      unknown: unknown < 0 ? null : tokens[unknown],
    }),
  };
}

function mergesByScore(tokens: readonly string[], types: readonly number[], scores: readonly number[]): string[] {
  const joinable = new Map(
    tokens.flatMap((token, id) =>
      types[id] === kinds.normal || types[id] === kinds.userDefined ? [[token, id] as const] : [],
    ),
  );
  const merges: { text: string; score: number; left: number; right: number }[] = [];
  for (const [token, id] of joinable) {
    const characters = [...token];
    for (let cut = 1; cut < characters.length; cut++) {
      const [first, second] = [characters.slice(0, cut).join(''), characters.slice(cut).join('')];
      const [left, right] = [joinable.get(first), joinable.get(second)];
      if (left !== undefined && right !== undefined)
        merges.push({ text: `${first} ${second}`, score: scores[id], left, right });
    }
  }
  merges.sort((a, b) => b.score - a.score || a.left - b.left || a.right - b.right);
  return merges.map(({ text }) => text);
}

function bpe(
  tokens: readonly string[],
  merges: readonly string[],
  options: { ignoreMerges: boolean; byteFallback: boolean; unknown: string | null },
): JsonObject {
  return {
    type: 'BPE',
    dropout: null,
    unk_token: options.unknown,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: options.unknown !== null,
    byte_fallback: options.byteFallback,
    ignore_merges: options.ignoreMerges,
    vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
    merges: merges.map((merge) => merge.split(' ')),
  };
}

/** Puts the beginning of a text in front. */
function beginning(id: number, token: string): JsonObject {
  const special = { SpecialToken: { id: token, type_id: 0 } };
  return {
    type: 'TemplateProcessing',
    single: [special, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [
      special,
      { Sequence: { id: 'A', type_id: 0 } },
      { SpecialToken: { id: token, type_id: 1 } },
      { Sequence: { id: 'B', type_id: 1 } },
    ],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  };
}
