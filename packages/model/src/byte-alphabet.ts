/**
 * GPT-2's printable stand-ins for bytes: printable Latin-1 characters stand for themselves, the other 68 bytes for
 * U+0100 onward in order.
 */
export const byteToChar: readonly string[] = buildAlphabet();

/** Inverse of {@link byteToChar}. */
export const charToByte: ReadonlyMap<string, number> = new Map(byteToChar.map((char, byte) => [char, byte]));

function buildAlphabet(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCharCode(printable ? byte : next++);
  });
}
