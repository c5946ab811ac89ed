import { byteToChar, charToByte } from './byte-alphabet.js';
import { ModelError } from './errors.js';
import type { GgufFile } from './gguf.js';
import { preTokenize } from './pre-tokenize.js';

/** Token ids with the stretch of text each came from, in UTF-16 units; a token inside a character covers all of it. */
export interface Encoding {
  readonly ids: number[];
  readonly starts: number[];
  readonly ends: number[];
}

/** Words kept in the cache of merges; real text repeats a few thousand. */
const cacheSize = 50_000;
const controlToken = 3;
const preTokenizers = ['smollm'];

/** What a byte-level BPE tokenizer is made of. */
export interface TokenizerSource {
  readonly tokens: readonly string[];
  /** "left right", best first. */
  readonly merges: readonly string[];
  /** Ids of tokens that are matched in the text as they are, before anything else. */
  readonly specialIds: readonly number[];
  /** Ids that end a generation. */
  readonly endIds: readonly number[];
}

/** Byte-level BPE (GPT-2) with offsets. */
export class Tokenizer {
  readonly endIds: ReadonlySet<number>;
  readonly #tokens: readonly string[];
  readonly #ids: ReadonlyMap<string, number>;
  readonly #ranks: ReadonlyMap<string, number>;
  readonly #special: ReadonlySet<number>;
  readonly #specialPattern: RegExp | null;
  readonly #cache = new Map<string, readonly string[]>();

  constructor(source: TokenizerSource) {
    this.#tokens = source.tokens;
    this.#ids = new Map(source.tokens.map((token, id) => [token, id]));
    this.#ranks = new Map(source.merges.map((merge, rank) => [merge, rank]));
    this.#special = new Set(source.specialIds);
    this.endIds = new Set(source.endIds);
    const texts = source.specialIds.map((id) => source.tokens[id]).sort((a, b) => b.length - a.length);
    const alternatives = texts.map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|');
    this.#specialPattern = texts.length > 0 ? new RegExp(alternatives, 'gu') : null;
  }

  /** Tokenises text; nothing is added in front. Lone surrogates become U+FFFD. */
  encode(text: string): Encoding {
    const encoding: Encoding = { ids: [], starts: [], ends: [] };
    let done = 0;
    for (const match of this.#specialPattern ? text.matchAll(this.#specialPattern) : []) {
      this.#encodePlain(text.slice(done, match.index), done, encoding);
      done = match.index + match[0].length;
      push(encoding, this.#ids.get(match[0]) as number, match.index, done);
    }
    this.#encodePlain(text.slice(done), done, encoding);
    return encoding;
  }

  /** Ids of {@link encode}. */
  ids(text: string): number[] {
    return this.encode(text).ids;
  }

  /** Text of tokens; special tokens are left out, malformed UTF-8 becomes U+FFFD. */
  decode(ids: readonly number[]): string {
    const bytes: number[] = [];
    for (const id of ids) {
      if (this.#special.has(id)) continue;
      for (const char of this.#tokens[id] ?? '') bytes.push(charToByte.get(char) ?? 0x3f);
    }
    return new TextDecoder().decode(Uint8Array.from(bytes));
  }

  /** UTF-8 of a token as it stands in running text; nothing for special tokens. */
  bytesOf(id: number): Uint8Array {
    if (this.#special.has(id)) return new Uint8Array();
    return Uint8Array.from(this.#tokens[id] ?? '', (char) => charToByte.get(char) ?? 0x3f);
  }

  #encodePlain(text: string, start: number, encoding: Encoding): void {
    for (const piece of preTokenize(text, start)) {
      const { symbols, starts, ends } = toSymbols(piece.text);
      let at = 0;
      for (const token of this.#merge(symbols)) {
        const id = this.#ids.get(token);
        const last = at + token.length - 1;
        if (id !== undefined) push(encoding, id, piece.start + starts[at], piece.start + ends[last]);
        at = last + 1;
      }
    }
  }

  #merge(word: string): readonly string[] {
    const known = this.#cache.get(word);
    if (known) return known;
    let parts = [...word];
    while (parts.length > 1) {
      let best = Number.POSITIVE_INFINITY;
      let left = '';
      let right = '';
      for (let i = 0; i + 1 < parts.length; i++) {
        const rank = this.#ranks.get(`${parts[i]} ${parts[i + 1]}`) ?? Number.POSITIVE_INFINITY;
        if (rank < best) [best, left, right] = [rank, parts[i], parts[i + 1]];
      }
      if (best === Number.POSITIVE_INFINITY) break;
      parts = mergeAll(parts, left, right);
    }
    if (this.#cache.size >= cacheSize) this.#cache.clear();
    this.#cache.set(word, parts);
    return parts;
  }
}

/** Joins every adjacent (left, right), from the left. */
function mergeAll(parts: readonly string[], left: string, right: string): string[] {
  const merged: string[] = [];
  for (let i = 0; i < parts.length; i++) {
    const joins = parts[i] === left && parts[i + 1] === right;
    merged.push(joins ? left + right : parts[i]);
    if (joins) i++;
  }
  return merged;
}

function push(encoding: Encoding, id: number, start: number, end: number): void {
  encoding.ids.push(id);
  encoding.starts.push(start);
  encoding.ends.push(end);
}

/** One stand-in character a UTF-8 byte, with the stretch of text of the character that the byte belongs to. */
function toSymbols(text: string): { symbols: string; starts: number[]; ends: number[] } {
  const encoder = new TextEncoder();
  const starts: number[] = [];
  const ends: number[] = [];
  let symbols = '';
  let at = 0;
  for (const char of text) {
    for (const byte of encoder.encode(char)) {
      symbols += byteToChar[byte];
      starts.push(at);
      ends.push(at + char.length);
    }
    at += char.length;
  }
  return { symbols, starts, ends };
}

/**
 * Builds the tokenizer from the vocabulary and merges of a GGUF file.
 * @throws ModelError UNSUPPORTED_FORMAT, FILE_MALFORMED
 */
export function tokenizerFromGguf(file: GgufFile): Tokenizer {
  const model = file.metadata.get('tokenizer.ggml.model');
  const pre = file.metadata.get('tokenizer.ggml.pre');
  if (model !== 'gpt2' || !preTokenizers.includes(String(pre)))
    throw new ModelError(
      'UNSUPPORTED_FORMAT',
      `${file.path}: tokenizer ${String(model)} with pre-tokenizer ${String(pre)}; supported: gpt2 with ${preTokenizers.join(', ')}`,
    );
  const tokens = strings(file, 'tokenizer.ggml.tokens');
  const types = file.metadata.get('tokenizer.ggml.token_type');
  if (!Array.isArray(types) || types.length !== tokens.length)
    throw new ModelError('FILE_MALFORMED', `${file.path}: tokenizer.ggml.token_type does not fit the vocabulary`);
  const specialIds = tokens.flatMap((_, id) => (types[id] === controlToken ? [id] : []));
  const end = file.metadata.get('tokenizer.ggml.eos_token_id');
  const endOfText = tokens.indexOf('<|endoftext|>');
  const endIds = [...(typeof end === 'number' ? [end] : []), ...(endOfText >= 0 ? [endOfText] : [])];
  return new Tokenizer({ tokens, merges: strings(file, 'tokenizer.ggml.merges'), specialIds, endIds });
}

function strings(file: GgufFile, key: string): string[] {
  const value = file.metadata.get(key);
  if (!Array.isArray(value) || value.length === 0 || !value.every((v) => typeof v === 'string'))
    throw new ModelError('FILE_MALFORMED', `${file.path}: ${key} is not a list of strings`);
  return value;
}
