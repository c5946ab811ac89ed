/**
 * A text with the stretch of the original that each of its UTF-16 units stands for: unit i comes from
 * [starts[at + i], ends[at + i]). Slices share the arrays.
 */
export interface Aligned {
  readonly text: string;
  readonly starts: ArrayLike<number>;
  readonly ends: ArrayLike<number>;
  readonly at: number;
}

/** A text as its own original; both halves of an astral character stand for all of it. */
export function identity(text: string): Aligned {
  const starts = new Int32Array(text.length);
  const ends = new Int32Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const astral = (text.codePointAt(i) as number) > 0xffff;
    starts[i] = i;
    ends[i] = astral ? i + 2 : i + 1;
    if (!astral) continue;
    starts[i + 1] = i;
    ends[i + 1] = i + 2;
    i++;
  }
  return { text, starts, ends, at: 0 };
}

/** Units [from, to) of a text. */
export function slice(piece: Aligned, from: number, to: number): Aligned {
  if (from === 0 && to === piece.text.length) return piece;
  return { text: piece.text.slice(from, to), starts: piece.starts, ends: piece.ends, at: piece.at + from };
}

/** A text put before another, as part of its first character. */
export function prepended(prefix: string, piece: Aligned): Aligned {
  const builder = new AlignedBuilder();
  builder.add(prefix, piece.starts[piece.at], piece.ends[piece.at]);
  builder.copy(piece, 0, piece.text.length);
  return builder.done();
}

/** Collects an aligned text from stretches of others and new ones. */
export class AlignedBuilder {
  readonly #texts: string[] = [];
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];

  /** Adds text that stands for [start, end) of the original as a whole. */
  add(text: string, start: number, end: number): void {
    this.#texts.push(text);
    for (let i = 0; i < text.length; i++) {
      this.#starts.push(start);
      this.#ends.push(end);
    }
  }

  /** Adds units [from, to) of another text. */
  copy(piece: Aligned, from: number, to: number): void {
    this.#texts.push(piece.text.slice(from, to));
    for (let i = piece.at + from; i < piece.at + to; i++) {
      this.#starts.push(piece.starts[i]);
      this.#ends.push(piece.ends[i]);
    }
  }

  /** What was collected. */
  done(): Aligned {
    return { text: this.#texts.join(''), starts: this.#starts, ends: this.#ends, at: 0 };
  }
}
