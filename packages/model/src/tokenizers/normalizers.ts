import { type Aligned, AlignedBuilder, prepended, slice } from './aligned.js';
import { boolean, type JsonObject, list, object, string } from './json.js';
import { patternOf } from './pattern.js';
import { unsupported } from './refusal.js';
import type { Normalizer } from './types.js';
import { unicodeForm } from './unicode-form.js';

const supported = ['Sequence', 'NFC', 'NFD', 'NFKC', 'NFKD', 'Prepend', 'Replace', 'Strip'];

/**
 * The `normalizer` entry of tokenizer.json.
 * @throws ModelError UNSUPPORTED_FORMAT, FILE_MALFORMED
 */
export function normalizerOf(path: string, entry: unknown): Normalizer | null {
  if (entry === null || entry === undefined) return null;
  const step = object(path, 'the normalizer', entry);
  switch (step.type) {
    case 'Sequence':
      return sequence(list(path, 'normalizers', step.normalizers).map((each) => normalizerOf(path, each)));
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD': {
      const form = step.type;
      return (text) => unicodeForm(text, form);
    }
    case 'Prepend':
      return prepend(string(path, 'prepend', step.prepend));
    case 'Replace':
      return replace(patternOf(path, step), string(path, 'content', step.content));
    case 'Strip':
      return strip(path, step);
    default:
      throw unsupported(path, 'the normalizer', step.type, supported);
  }
}

function sequence(steps: readonly (Normalizer | null)[]): Normalizer {
  return (text, place) => steps.reduce((current, step) => step?.(current, place) ?? current, text);
}

/** Puts a text in front, but not in front of one that goes on with another. */
export function prepend(prefix: string): Normalizer {
  return (text, { running }) => {
    const begins = text.starts[text.at] === 0;
    return text.text === '' || (running && begins) ? text : prepended(prefix, text);
  };
}

/** Replaces every match; what it becomes stands for the whole match. */
export function replace(pattern: RegExp, content: string): Normalizer {
  return (piece) => {
    const matches = [...piece.text.matchAll(pattern)];
    if (matches.length === 0) return piece;
    if (content.length === 1 && matches.every(([match]) => match.length === 1))
      return { ...piece, text: piece.text.replace(pattern, () => content) };
    const builder = new AlignedBuilder();
    let done = 0;
    for (const { 0: match, index } of matches) {
      builder.copy(piece, done, index);
      done = index + match.length;
      if (match !== '') builder.add(content, piece.starts[piece.at + index], piece.ends[piece.at + done - 1]);
    }
    builder.copy(piece, done, piece.text.length);
    return builder.done();
  };
}

function strip(path: string, step: JsonObject): Normalizer {
  const left = boolean(path, 'strip_left', step.strip_left, true);
  const right = boolean(path, 'strip_right', step.strip_right, true);
  return (piece: Aligned) => {
    const { text } = piece;
    const from = left ? (/^\p{White_Space}+/u.exec(text)?.[0].length ?? 0) : 0;
    let to = text.length;
    while (right && to > from && /\p{White_Space}/u.test(text[to - 1])) to--;
    return slice(piece, from, to);
  };
}
