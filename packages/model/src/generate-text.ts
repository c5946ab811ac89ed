import type { Tokenizer } from './tokenizer.js';

/**
 * Text of a continuation as its tokens come. A piece is given out when its characters are whole and no stop string can
 * begin in them any more, so that what was given out is never taken back.
 */
export class GrowingText {
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  readonly #stop: readonly string[];
  #withheld = '';
  #ended = false;

  constructor(
    private readonly tokenizer: Pick<Tokenizer, 'bytesOf' | 'endIds'>,
    stop: readonly string[] = [],
  ) {
    this.#stop = stop.filter((text) => text !== '');
  }

  /** Whether an end token or a stop string was reached. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Adds a token. @returns the text that is certain now */
  add(token: number): string {
    if (!this.tokenizer.endIds.has(token))
      return this.#give(this.#decoder.decode(this.tokenizer.bytesOf(token), { stream: true }));
    const rest = this.finish();
    this.#ended = true;
    return rest;
  }

  /** What was withheld, when no more tokens come; bytes without the rest of their character become U+FFFD. */
  finish(): string {
    const certain = this.#give(this.#decoder.decode());
    const rest = this.#withheld;
    this.#withheld = '';
    return certain + rest;
  }

  #give(text: string): string {
    const all = this.#withheld + text;
    const found = this.#stop.map((stop) => all.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) {
      this.#ended = true;
      this.#withheld = '';
      return all.slice(0, Math.min(...found));
    }
    const open = Math.max(0, ...this.#stop.map((stop) => beginning(all, stop)));
    this.#withheld = all.slice(all.length - open);
    return all.slice(0, all.length - open);
  }
}

/** Length of the longest end of `text` that `stop` begins with. */
function beginning(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--)
    if (text.endsWith(stop.slice(0, length))) return length;
  return 0;
}
