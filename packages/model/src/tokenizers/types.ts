import type { Aligned } from './aligned.js';

/** Where a piece of text is tokenised. */
export interface Place {
  /** The text goes on with another: its beginning gets no space of its own. */
  readonly running: boolean;
}

/** Rewrites a text before it is split. */
export type Normalizer = (text: Aligned, place: Place) => Aligned;

/** Splits a text into pieces that tokens never cross. */
export type PreTokenizer = (piece: Aligned, place: Place) => Aligned[];

/** Tokens of a piece with the units of it they came from; byte tokens of one character all cover it. */
export interface Tokens {
  readonly ids: readonly number[];
  readonly starts: readonly number[];
  readonly ends: readonly number[];
}

/** Turns a piece into tokens. */
export type WordModel = (piece: string) => Tokens;

/** Turns tokens into text. */
export interface Decoder {
  /** UTF-8 of the text of a token, given as the vocabulary or the list of added tokens writes it. */
  bytes(token: string, added: boolean): Uint8Array;
  /** Spaces taken off the beginning of a decoded text. */
  readonly leadingSpaces: number;
}

/** A token that is found in the text before anything else. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Left out of decoded text. */
  readonly special: boolean;
  /** Found in the normalised text instead of the text as it is. */
  readonly normalized: boolean;
  /** Takes the white space before it. */
  readonly lstrip: boolean;
  /** Takes the white space after it. */
  readonly rstrip: boolean;
  /** Not found inside a word. */
  readonly singleWord: boolean;
}
