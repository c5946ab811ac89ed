/** Classes of Oniguruma that mean Unicode's sets, which JavaScript's \s, \d and \w do not. */
const classes: Readonly<Record<string, string>> = {
  s: '\\p{White_Space}',
  S: '\\P{White_Space}',
  d: '\\p{Nd}',
  D: '\\P{Nd}',
};
const wordCharacters = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}';
const kept = new Set('nrtfv^$\\.*+?()[]{}|/');
/** Letters that case folding joins with an ASCII letter beside its other case. */
const folds: Readonly<Record<string, string>> = { s: 'ſ', k: '\u212a' };

interface State {
  readonly source: string;
  at: number;
}

/**
 * Rewrites an Oniguruma regular expression, as tokenizer.json holds it, for JavaScript's `u` mode: Unicode classes,
 * `(?i:…)` spelled out letter by letter, `.` that only a line feed stops.
 * @throws SyntaxError for what has no equivalent
 */
export function translate(source: string): string {
  const state: State = { source, at: 0 };
  const foldingOf: boolean[] = [];
  let folding = false;
  let result = '';
  while (state.at < source.length) {
    const char = String.fromCodePoint(source.codePointAt(state.at) as number);
    state.at += char.length;
    switch (char) {
      case '(': {
        foldingOf.push(folding);
        const group = groupStart(state);
        folding = group.folding ?? folding;
        result += group.text;
        break;
      }
      case ')':
        folding = foldingOf.pop() ?? false;
        result += ')';
        break;
      case '[':
        result += characterClass(state, folding);
        break;
      case '\\':
        result += escaped(state, false);
        break;
      case '.':
        result += '[^\\n]';
        break;
      case '^':
      case '$':
        throw new SyntaxError(`the anchor ${char}`);
      default:
        result += folding ? folded(char) : char;
    }
  }
  return result;
}

function groupStart(state: State): { text: string; folding: boolean | null } {
  const flags = /^\?(-?i):/.exec(state.source.slice(state.at, state.at + 8));
  if (!flags) return { text: '(', folding: null };
  state.at += flags[0].length;
  return { text: '(?:', folding: flags[1] === 'i' };
}

/** Both cases of a letter as a class. */
function folded(char: string): string {
  const cases = new Set([char, char.toLowerCase(), char.toUpperCase(), folds[char.toLowerCase()] ?? char]);
  const single = [...cases].filter((each) => [...each].length === 1);
  return single.length > 1 ? `[${single.join('')}]` : char;
}

function escaped(state: State, inClass: boolean): string {
  const code = state.source.codePointAt(state.at);
  if (code === undefined) throw new SyntaxError('an escape at the end');
  const char = String.fromCodePoint(code);
  state.at += char.length;
  if (classes[char]) return classes[char];
  if (char === 'w') return inClass ? wordCharacters : `[${wordCharacters}]`;
  if (char === 'W' && !inClass) return `[^${wordCharacters}]`;
  if (char === 'p' || char === 'P') return property(state, char);
  if (char === 'x' || char === 'u') return codePoint(state, char);
  if (kept.has(char)) return `\\${char}`;
  if (char === '-') return inClass ? '\\-' : '-';
  if (/[\p{L}\p{N}]/u.test(char)) throw new SyntaxError(`the escape \\${char}`);
  return char;
}

function property(state: State, kind: string): string {
  const found = /^\{([^{}]{1,64})\}/.exec(state.source.slice(state.at, state.at + 70));
  if (!found) throw new SyntaxError(`a property without its name behind \\${kind}`);
  state.at += found[0].length;
  const name = found[1].replace(/^\^/, '');
  const negated = (name !== found[1]) !== (kind === 'P');
  for (const candidate of [name, `Script=${name}`, `General_Category=${name}`]) {
    const text = `\\${negated ? 'P' : 'p'}{${candidate}}`;
    if (compiles(text)) return text;
  }
  throw new SyntaxError(`the property ${name}`);
}

function compiles(text: string): boolean {
  try {
    return new RegExp(text, 'u') instanceof RegExp;
  } catch {
    return false;
  }
}

function codePoint(state: State, kind: string): string {
  const braced = /^\{([0-9A-Fa-f]{1,6})\}/.exec(state.source.slice(state.at, state.at + 8));
  const plain = new RegExp(`^[0-9A-Fa-f]{${kind === 'x' ? 2 : 4}}`).exec(state.source.slice(state.at, state.at + 4));
  const found = braced ?? plain;
  if (!found) throw new SyntaxError(`a character number behind \\${kind}`);
  state.at += found[0].length;
  return `\\u{${braced ? braced[1] : found[0]}}`;
}

function characterClass(state: State, folding: boolean): string {
  const { source } = state;
  let result = '[';
  if (source[state.at] === '^') {
    result += '^';
    state.at++;
  }
  while (state.at < source.length) {
    const char = String.fromCodePoint(source.codePointAt(state.at) as number);
    state.at += char.length;
    if (char === ']') return `${result}]`;
    if (char === '[') throw new SyntaxError('a class inside a class');
    if (char === '&' && source[state.at] === '&') throw new SyntaxError('an intersection of classes');
    if (char === '\\') result += escaped(state, true);
    else if (folding && /\p{L}/u.test(char) && source[state.at] === '-')
      throw new SyntaxError('a range of letters where case is ignored');
    else result += folding ? folded(char).replace(/^\[|\]$/g, '') : char;
  }
  throw new SyntaxError('a class that does not end');
}
