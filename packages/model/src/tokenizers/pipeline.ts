import type { Encoding, Tokenizer } from '../tokenizer.js';
import { AddedTokenFinder } from './added-tokens.js';
import { type Aligned, identity } from './aligned.js';
import type { AddedToken, Decoder, Normalizer, Place, PreTokenizer, WordModel } from './types.js';

/** The steps of a tokenizer, in the order text goes through them. */
export interface TokenizerParts {
  /** Tokens of the model by id. */
  readonly tokens: ReadonlyMap<number, string>;
  readonly added: readonly AddedToken[];
  readonly normalizer: Normalizer | null;
  readonly preTokenizer: PreTokenizer | null;
  readonly model: WordModel;
  readonly decoder: Decoder;
  readonly bosId: number | null;
  readonly endIds: readonly number[];
}

const loneSurrogates = /\p{Surrogate}/gu;
const nothing = new Uint8Array();

/** A tokenizer put together from its parts, in the order of Hugging Face's tokenizers. */
export class PipelineTokenizer implements Tokenizer {
  readonly endIds: ReadonlySet<number>;
  readonly bosId: number | null;
  readonly size: number;
  readonly #parts: TokenizerParts;
  readonly #added: ReadonlyMap<number, AddedToken>;
  readonly #specialIds: ReadonlyMap<string, number>;
  readonly #inText: AddedTokenFinder;
  readonly #inNormalized: AddedTokenFinder;

  constructor(parts: TokenizerParts) {
    this.#parts = parts;
    this.endIds = new Set(parts.endIds);
    this.bosId = parts.bosId;
    this.#added = new Map(parts.added.map((token) => [token.id, token]));
    this.#specialIds = new Map(parts.added.flatMap(({ id, content, special }) => (special ? [[content, id]] : [])));
    let largest = -1;
    for (const id of parts.tokens.keys()) largest = Math.max(largest, id);
    for (const id of this.#added.keys()) largest = Math.max(largest, id);
    this.size = largest + 1;
    const [normalized, plain] = [true, false].map((kind) => parts.added.filter((token) => token.normalized === kind));
    this.#inText = new AddedTokenFinder(plain.map((token) => ({ token, text: token.content })));
    this.#inNormalized = new AddedTokenFinder(normalized.map((token) => ({ token, text: this.#textOf(token) })));
  }

  encode(text: string): Encoding {
    return this.#encode(text, { running: false });
  }

  ids(text: string): number[] {
    return this.encode(text).ids;
  }

  runningIds(text: string): number[] {
    return this.#encode(text, { running: true }).ids;
  }

  decode(ids: readonly number[]): string {
    const pieces = ids.map((id) => this.bytesOf(id));
    const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
    let from = 0;
    while (from < this.#parts.decoder.leadingSpaces && text[from] === ' ') from++;
    return text.slice(from);
  }

  bytesOf(id: number): Uint8Array {
    const added = this.#added.get(id);
    if (added) return added.special ? nothing : this.#parts.decoder.bytes(this.#textOf(added), true);
    const token = this.#parts.tokens.get(id);
    return token === undefined ? nothing : this.#parts.decoder.bytes(token, false);
  }

  specialId(text: string): number | undefined {
    return this.#specialIds.get(text);
  }

  #textOf({ content, normalized }: AddedToken): string {
    const { normalizer } = this.#parts;
    return normalized && normalizer ? normalizer(identity(content), { running: false }).text : content;
  }

  #encode(text: string, place: Place): Encoding {
    const encoding: Encoding = { ids: [], starts: [], ends: [] };
    const whole = identity(text.replace(loneSurrogates, '\ufffd'));
    for (const { token, piece } of this.#inText.split(whole)) {
      if (token) pushAdded(encoding, token, piece);
      else this.#encodeText(this.#parts.normalizer?.(piece, place) ?? piece, place, encoding);
    }
    return encoding;
  }

  #encodeText(text: Aligned, place: Place, encoding: Encoding): void {
    for (const { token, piece } of this.#inNormalized.split(text)) {
      if (token) pushAdded(encoding, token, piece);
      else for (const word of this.#parts.preTokenizer?.(piece, place) ?? [piece]) this.#encodeWord(word, encoding);
    }
  }

  #encodeWord(word: Aligned, encoding: Encoding): void {
    const { ids, starts, ends } = this.#parts.model(word.text);
    for (let i = 0; i < ids.length; i++) {
      encoding.ids.push(ids[i]);
      encoding.starts.push(word.starts[word.at + starts[i]]);
      encoding.ends.push(word.ends[word.at + ends[i] - 1]);
    }
  }
}

function pushAdded(encoding: Encoding, token: AddedToken, { text, starts, ends, at }: Aligned): void {
  encoding.ids.push(token.id);
  encoding.starts.push(starts[at]);
  encoding.ends.push(ends[at + text.length - 1]);
}
