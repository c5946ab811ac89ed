import type { JsonObject } from './json.js';
import { preTokenizerOf } from './pre-tokenizers.js';
import type { Normalizer, PreTokenizer } from './types.js';
import { unicodeForm } from './unicode-form.js';

/** What a GGUF file only names: how a family splits text before byte-level BPE. */
export interface NamedSplit {
  readonly preTokenizer: PreTokenizer;
  /** The same as tokenizer.json has it. */
  readonly entry: JsonObject;
  readonly normalizer: Normalizer | null;
  /** Words that are tokens are taken whole. */
  readonly ignoreMerges: boolean;
}

const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true };
const gpt2 = { ...byteLevel, use_regex: true };
const bytes = { ...byteLevel, use_regex: false };

const endings = `(?i:'s|'t|'re|'ve|'m|'ll|'d)`;
const rest = String.raw`\s*[\r\n]+|\s+(?!\S)|\s+`;
const llama3 = String.raw`${endings}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|${rest}`;
const qwen2 = String.raw`${endings}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|${rest}`;
const tekken = String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|${rest}`;

const plain = { normalizer: null, ignoreMerges: false };
const gpt2Words: NamedSplit = { ...plain, ...split(gpt2) };
const llama3Words: NamedSplit = { ...plain, ...split(words(llama3)), ignoreMerges: true };

/** By `tokenizer.ggml.pre`; the patterns are those of the families' own tokenizer.json. */
export const namedSplits: ReadonlyMap<string, NamedSplit> = new Map([
  ['smollm', { ...plain, ...split(inTurn([{ type: 'Digits', individual_digits: true }, gpt2])) }],
  ['gpt-2', gpt2Words],
  ['mpt', gpt2Words],
  ['olmo', gpt2Words],
  ['llama-bpe', llama3Words],
  ['llama3', llama3Words],
  ['qwen2', { ...plain, ...split(words(qwen2)), normalizer: (text) => unicodeForm(text, 'NFC') }],
  ['tekken', { ...plain, ...split(words(tekken)), ignoreMerges: true }],
]);

function words(pattern: string): JsonObject {
  return inTurn([{ type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false }, bytes]);
}

function inTurn(steps: readonly JsonObject[]): JsonObject {
  return { type: 'Sequence', pretokenizers: steps };
}

function split(entry: JsonObject): Pick<NamedSplit, 'preTokenizer' | 'entry'> {
  return { preTokenizer: preTokenizerOf('the built-in patterns', entry) as PreTokenizer, entry };
}
