import { shown } from '../shown.js';
import { type JsonObject, object } from './json.js';
import { malformed, unsupported } from './refusal.js';
import { translate } from './translate-regex.js';

/** Longest regular expression taken from a file; the longest in use has some 400 characters. */
const longestPattern = 10_000;

/** Regular expression of a `pattern` entry of tokenizer.json. */
export function patternOf(path: string, step: JsonObject): RegExp {
  const pattern = object(path, 'a pattern', step.pattern);
  if (typeof pattern.String === 'string') return literal(pattern.String);
  if (typeof pattern.Regex === 'string') return compileRegex(path, pattern.Regex);
  throw malformed(path, 'a pattern of the tokenizer is neither a String nor a Regex');
}

/** Matches a text as it is; the empty text never. */
export function literal(text: string): RegExp {
  return text === '' ? /(?!)/gu : new RegExp(text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&'), 'gu');
}

/**
 * An Oniguruma regular expression for JavaScript.
 * @throws ModelError UNSUPPORTED_FORMAT for one that JavaScript cannot express
 */
export function compileRegex(path: string, regex: string): RegExp {
  if (regex.length > longestPattern)
    throw malformed(path, `a regular expression of ${regex.length} characters is longer than ${longestPattern}`);
  try {
    return new RegExp(translate(regex), 'gu');
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw unsupported(path, `a regular expression that JavaScript cannot run (${shown(reason)}):`, regex, [
      'Unicode classes, groups, look-around, (?i:…)',
    ]);
  }
}
