import type { Tokens, WordModel } from './types.js';

/** Words kept; real text repeats a few thousand. */
const words = 50_000;
/** Longest word kept, in UTF-16 units: longer ones hardly come again. */
const longest = 256;

/** A model that remembers the words it has seen. */
export function cached(model: WordModel): WordModel {
  const known = new Map<string, Tokens>();
  return (piece) => {
    if (piece.length > longest) return model(piece);
    const found = known.get(piece);
    if (found) return found;
    const tokens = model(piece);
    if (known.size >= words) known.clear();
    known.set(piece, tokens);
    return tokens;
  };
}
