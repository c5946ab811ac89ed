import { type Aligned, slice } from './aligned.js';
import type { AddedToken } from './types.js';

/** A stretch of a text: an added token, or text between added tokens. */
export interface Stretch {
  readonly token: AddedToken | null;
  readonly piece: Aligned;
}

interface Node {
  readonly next: Map<number, Node>;
  token: AddedToken | null;
}

const wordAtEnd = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
const wordAtStart = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const space = /\p{White_Space}/u;

/** Finds tokens in a text: from the left, the longest first. */
export class AddedTokenFinder {
  readonly #root: Node = { next: new Map(), token: null };
  readonly #empty: boolean;

  /** Each with the text to look for. */
  constructor(tokens: readonly { readonly token: AddedToken; readonly text: string }[]) {
    const found = tokens.filter(({ text }) => text !== '');
    this.#empty = found.length === 0;
    for (const { token, text } of found) {
      let node = this.#root;
      for (let i = 0; i < text.length; i++) {
        const unit = text.charCodeAt(i);
        const next = node.next.get(unit) ?? { next: new Map(), token: null };
        node.next.set(unit, next);
        node = next;
      }
      node.token ??= token;
    }
  }

  /** The text in stretches, empty ones left out. */
  split(piece: Aligned): Stretch[] {
    if (this.#empty) return piece.text === '' ? [] : [{ token: null, piece }];
    const stretches: Stretch[] = [];
    const { text } = piece;
    let done = 0;
    const plain = (to: number): void => {
      if (to > done) stretches.push({ token: null, piece: slice(piece, done, to) });
    };
    for (let at = 0; at < text.length; ) {
      const found = this.#longest(text, at);
      if (!found || (found.token.singleWord && !standsAlone(text, at, found.end))) {
        at = found ? found.end : at + 1;
        continue;
      }
      const start = found.token.lstrip ? spaceBefore(text, at, done) : at;
      const end = found.token.rstrip ? spaceAfter(text, found.end) : found.end;
      plain(start);
      stretches.push({ token: found.token, piece: slice(piece, start, end) });
      done = end;
      at = end;
    }
    plain(text.length);
    return stretches;
  }

  #longest(text: string, from: number): { token: AddedToken; end: number } | null {
    let node: Node | undefined = this.#root;
    let found: { token: AddedToken; end: number } | null = null;
    for (let i = from; i < text.length; i++) {
      node = node.next.get(text.charCodeAt(i));
      if (!node) break;
      if (node.token) found = { token: node.token, end: i + 1 };
    }
    return found;
  }
}

function standsAlone(text: string, start: number, end: number): boolean {
  const before = text.slice(Math.max(0, start - 2), start);
  return !wordAtEnd.test(before) && !wordAtStart.test(text.slice(end, end + 2));
}

function spaceBefore(text: string, at: number, from: number): number {
  let start = at;
  while (start > from && space.test(text[start - 1])) start--;
  return start;
}

function spaceAfter(text: string, at: number): number {
  let end = at;
  while (end < text.length && space.test(text[end])) end++;
  return end;
}
