/** A stretch of text that tokens never cross; `start` counts UTF-16 units. */
export interface Piece {
  readonly text: string;
  readonly start: number;
}

// GPT-2's split. White space is Unicode's White_Space property, which JavaScript's \s is not (U+0085, U+FEFF).
const words =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
const digitOrRest = /\p{N}|\P{N}+/gu;

/** Splits text as the `smollm` pre-tokenizer does: every digit alone, then GPT-2's words with their leading space. */
export function preTokenize(text: string, start = 0): Piece[] {
  const pieces: Piece[] = [];
  for (const run of text.matchAll(digitOrRest))
    for (const word of run[0].matchAll(words)) pieces.push({ text: word[0], start: start + run.index + word.index });
  return pieces;
}
