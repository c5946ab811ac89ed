import { byteToChar } from '../byte-alphabet.js';
import { type Aligned, AlignedBuilder, prepended } from './aligned.js';
import { boolean, type JsonObject, list, object, string } from './json.js';
import { replace } from './normalizers.js';
import { literal, patternOf } from './pattern.js';
import { malformed, unsupported } from './refusal.js';
import { splitAt, splitBehaviors } from './splitting.js';
import type { Place, PreTokenizer } from './types.js';

const supported = ['Sequence', 'Split', 'ByteLevel', 'Digits', 'Metaspace'];
const encoder = new TextEncoder();

/** GPT-2's split. White space is Unicode's White_Space property, which JavaScript's \s is not (U+0085, U+FEFF). */
const gpt2Words =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/**
 * The `pre_tokenizer` entry of tokenizer.json.
 * @throws ModelError UNSUPPORTED_FORMAT, FILE_MALFORMED
 */
export function preTokenizerOf(path: string, entry: unknown): PreTokenizer | null {
  if (entry === null || entry === undefined) return null;
  const step = object(path, 'the pre-tokenizer', entry);
  switch (step.type) {
    case 'Sequence':
      return inTurn(list(path, 'pretokenizers', step.pretokenizers).map((each) => preTokenizerOf(path, each)));
    case 'Split':
      return split(path, step);
    case 'ByteLevel':
      return byteLevel({
        addPrefixSpace: boolean(path, 'add_prefix_space', step.add_prefix_space, true),
        words: boolean(path, 'use_regex', step.use_regex, true),
      });
    case 'Digits':
      return digits(boolean(path, 'individual_digits', step.individual_digits, false));
    case 'Metaspace':
      return metaspace(path, step);
    default:
      throw unsupported(path, 'the pre-tokenizer', step.type, supported);
  }
}

/** One after the other, each on the pieces of the one before. */
export function inTurn(steps: readonly (PreTokenizer | null)[]): PreTokenizer {
  return (piece, place) =>
    steps.reduce((pieces, step) => (step ? pieces.flatMap((each) => step(each, place)) : pieces), [piece]);
}

/** Splits at the matches of a pattern. */
export function isolated(pattern: RegExp): PreTokenizer {
  return (piece) => splitAt(piece, pattern, 'Isolated', false);
}

/** Digits from what is not; each alone, or runs of them. */
export function digits(individual: boolean): PreTokenizer {
  return (piece) => splitAt(piece, /\p{N}/gu, individual ? 'Isolated' : 'Contiguous', false);
}

/** GPT-2's words, if wanted, in its alphabet of bytes. */
export function byteLevel(options: { addPrefixSpace: boolean; words: boolean }): PreTokenizer {
  return (piece, place) => {
    const spaced =
      options.addPrefixSpace && !piece.text.startsWith(' ') && !goesOn(piece, place) ? prepended(' ', piece) : piece;
    const words = options.words ? splitAt(spaced, gpt2Words, 'Isolated', false) : [spaced];
    return words.map(toBytes);
  };
}

function goesOn(piece: Aligned, { running }: Place): boolean {
  return running && piece.starts[piece.at] === 0;
}

/** One stand-in character a byte, each for the whole of its character. */
function toBytes(piece: Aligned): Aligned {
  const { text, starts, ends, at } = piece;
  const bytes = encoder.encode(text);
  let chars = '';
  for (const byte of bytes) chars += byteToChar[byte];
  if (bytes.length === text.length) return { ...piece, text: chars };
  const builder = new AlignedBuilder();
  let unit = 0;
  let done = 0;
  for (const char of text) {
    const code = char.codePointAt(0) as number;
    const length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    builder.add(chars.slice(done, done + length), starts[at + unit], ends[at + unit + char.length - 1]);
    done += length;
    unit += char.length;
  }
  return builder.done();
}

function split(path: string, step: JsonObject): PreTokenizer {
  const behavior = splitBehaviors.find((name) => name === step.behavior);
  if (!behavior) throw unsupported(path, 'the split behavior', step.behavior, splitBehaviors);
  const pattern = patternOf(path, step);
  const invert = boolean(path, 'invert', step.invert, false);
  return (piece) => splitAt(piece, pattern, behavior, invert);
}

function metaspace(path: string, step: JsonObject): PreTokenizer {
  const replacement = string(path, 'replacement', step.replacement);
  if (replacement.length !== 1) throw malformed(path, 'the replacement of Metaspace is not one character');
  const scheme = prependScheme(path, step);
  const splits = boolean(path, 'split', step.split, true);
  const replaced = replace(/ /gu, replacement);
  const pattern = literal(replacement);
  return (piece, place) => {
    const text = replaced(piece, place);
    const begins = piece.starts[piece.at] === 0;
    const wanted = scheme === 'always' || (scheme === 'first' && begins);
    const spaced =
      wanted && !goesOn(piece, place) && !text.text.startsWith(replacement) ? prepended(replacement, text) : text;
    return splits ? splitAt(spaced, pattern, 'MergedWithNext', false) : [spaced];
  };
}

/** Older files say `add_prefix_space` instead. */
export function prependScheme(path: string, step: JsonObject): 'always' | 'first' | 'never' {
  if (step.prepend_scheme === undefined)
    return boolean(path, 'add_prefix_space', step.add_prefix_space, true) ? 'always' : 'never';
  const { prepend_scheme: scheme } = step;
  if (scheme !== 'always' && scheme !== 'first' && scheme !== 'never')
    throw unsupported(path, 'the prepend_scheme', scheme, ['always', 'first', 'never']);
  return scheme;
}
