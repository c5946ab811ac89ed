import { describe, expect, it } from 'vitest';
import { GrowingText } from './generate-text.js';

/** Tokens are given as their bytes; the empty token ends. */
function piecesOf(tokens: readonly (string | number[])[], stop: readonly string[] = []): string[] {
  const bytes = tokens.map((token) =>
    typeof token === 'string' ? new TextEncoder().encode(token) : Uint8Array.from(token),
  );
  const ends = new Set(tokens.flatMap((token, id) => (token.length === 0 ? [id] : [])));
  const text = new GrowingText({ bytesOf: (id) => bytes[id], endIds: ends }, stop);
  const pieces: string[] = [];
  for (let id = 0; id < tokens.length && !text.ended; id++) pieces.push(text.add(id));
  return text.ended ? pieces : [...pieces, text.finish()];
}

describe('the text of a continuation', () => {
  it('comes token by token', () => {
    expect(piecesOf([' Par', 'is', ''])).toEqual([' Par', 'is', '']);
    expect(piecesOf([' Par', 'is'])).toEqual([' Par', 'is', '']);
  });

  it('waits for the rest of a character, and says so when there is none', () => {
    const [a, b, c, d] = new TextEncoder().encode('😀');
    expect(piecesOf([[a], [b, c], [d, 0x21]])).toEqual(['', '', '😀!', '']);
    expect(piecesOf(['x', [a, b]])).toEqual(['x', '', '\ufffd']);
    expect(piecesOf([[a, b], ''])).toEqual(['', '\ufffd']);
    expect(piecesOf([[0xff], 'x'])).toEqual(['\ufffd', 'x', '']);
    expect(piecesOf(['שָׁלוֹם', '\ufeffa'])).toEqual(['שָׁלוֹם', '\ufeffa', '']);
  });

  it('ends before a stop string, also within a token and over several', () => {
    expect(piecesOf(['one. two', ' three'], ['.'])).toEqual(['one']);
    expect(piecesOf(['a<', '|end', '|>b'], ['<|end|>'])).toEqual(['a', '', '']);
    expect(piecesOf(['ab', 'ca', 'bd', 'x'], ['abd'])).toEqual(['', 'abc', '']);
    expect(piecesOf(['aa', 'aa', 'b!'], ['aab'])).toEqual(['', 'aa', '']);
    expect(piecesOf(['x.', '\n'], ['\n', '.'])).toEqual(['x']);
  });

  it('gives out what turned out to be no stop string, at the latest at the end', () => {
    expect(piecesOf(['a<', '|x'], ['<|end|>'])).toEqual(['a', '<|x', '']);
    expect(piecesOf(['a<|', 'end'], ['<|end|>'])).toEqual(['a', '', '<|end']);
    expect(piecesOf(['a<|', ''], ['<|end|>'])).toEqual(['a', '<|']);
  });

  it('ends at the first of several stop strings', () => {
    expect(piecesOf(['x stop and halt'], ['halt', 'stop'])).toEqual(['x ']);
    expect(piecesOf(['é', [0xe2, 0x80], [0xa8], 'y'], ['\u2028'])).toEqual(['é', '', '']);
  });

  it('is whole whatever the pieces it comes in', () => {
    const whole = 'Ürümqi 乌鲁木齐 👩‍👩‍👧 END of it';
    const bytes = [...new TextEncoder().encode(whole)];
    for (const size of [1, 2, 3, 5, 7]) {
      const tokens = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
        bytes.slice(i * size, (i + 1) * size),
      );
      expect(piecesOf(tokens).join('')).toBe(whole);
      expect(piecesOf(tokens, ['END']).join('')).toBe(whole.slice(0, whole.indexOf('END')));
      expect(piecesOf(tokens, ['ENDE', '👩‍👩‍👦']).join('')).toBe(whole);
    }
  });
});
