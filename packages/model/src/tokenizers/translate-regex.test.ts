import { describe, expect, it } from 'vitest';
import { ModelError } from '../errors.js';
import { compileRegex } from './pattern.js';

function matches(regex: string, text: string): string[] {
  return Array.from(text.matchAll(compileRegex('tokenizer.json', regex)), ([match]) => match);
}

describe('a regular expression of tokenizer.json', () => {
  it.each([
    [
      'ignores case in a group, with the letters that fold into it',
      "(?i:'s|'k)|x",
      "'s 'S 'ſ 'k 'K 'K X x",
      ["'s", "'S", "'ſ", "'k", "'K", "'K", 'x'],
    ],
    ['ends it with the group', '(?i:a(?:b)c)d|(?i:e(?-i:f))', 'ABCd abcD aBcd EF Ef ef', ['ABCd', 'aBcd', 'Ef', 'ef']],
    ['ignores case in a class', '(?i:[ab])', 'aBc', ['a', 'B']],
    ['knows white space by Unicode', '\\s+', 'a\u0085\u3000b\ufeffc', ['\u0085\u3000']],
    ['and what is none', '[^\\s]+|\\S', 'a\u0085\ufeffc', ['a', '\ufeffc']],
    ['knows digits by Unicode', '\\d+|\\D', '1٣½', ['1٣', '½']],
    ['knows words by Unicode', '\\w+', 'naïve_३ ½!', ['naïve_३']],
    ['knows scripts by their plain names', '\\p{Han}+|\\p{^L}', '東京a1', ['東京', '1']],
    ['stops a dot at a line feed only', '.+', 'a\rb\u2028c\nd', ['a\rb\u2028c', 'd']],
    ['takes needless escapes', "\\'\\-\\ [\\-\\']", "'- -", ["'- -"]],
    ['takes characters by number', '\\x{4E00}|\\u00e9|[\\x41]', '一éAB', ['一', 'é', 'A']],
    ['looks ahead', '\\s+(?!\\S)|\\s+', 'a   b', ['  ', ' ']],
    ['counts', '\\p{N}{1,3}', '1234567', ['123', '456', '7']],
  ])('%s', (_, regex, text, wanted) => {
    expect(matches(regex, text)).toEqual(wanted);
  });

  it.each([
    ['possessive quantifiers', '\\p{L}++'],
    ['atomic groups', '(?>a|b)'],
    ['classes inside classes', '[a[bc]]'],
    ['intersections', '[a-z&&b]'],
    ['anchors', '^a'],
    ['word boundaries', '\\bword'],
    ['unknown properties', '\\p{Nonsense}'],
    ['options for the rest', '(?i)a'],
    ['groups that do not end', '(a'],
    ['classes that do not end', '[a'],
    ['an escape at the end', 'a\\'],
    ['folded ranges', '(?i:[a-f])'],
  ])('is refused by name for %s', (_, regex) => {
    expect(() => compileRegex('tokenizer.json', regex)).toThrow(ModelError);
    expect(() => compileRegex('tokenizer.json', regex)).toThrow(/^tokenizer\.json: .*regular expression/);
  });

  it('is refused when it is overlong', () => {
    expect(() => compileRegex('tokenizer.json', 'a'.repeat(10_001))).toThrow(/10001 characters/);
  });
});
