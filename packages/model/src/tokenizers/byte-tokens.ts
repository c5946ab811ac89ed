const encoder = new TextEncoder();

/** Name of the token of a byte in SentencePiece vocabularies: `<0x0A>`. */
export function byteToken(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
}

/** Ids of the byte tokens of a character; undefined where the vocabulary lacks one. */
export function byteTokenIds(ids: ReadonlyMap<string, number>, char: string): number[] | undefined {
  const found = Array.from(encoder.encode(char), (byte) => ids.get(byteToken(byte)));
  return found.every((id) => id !== undefined) ? found : undefined;
}
