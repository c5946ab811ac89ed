/** Where and why a text is not JSON (RFC 8259). `position` counts UTF-16 code units from 0, `line` and `column` from 1. */
export interface JsonFault {
  readonly position: number;
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

const scalar = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
const escaped = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

type Expectation =
  | 'value'
  | 'value or ]'
  | 'name or }'
  | 'name'
  | ':'
  | ', or }'
  | ', or ]'
  | 'end of the text'
  | 'the rest of a string';

/**
 * Finds the first fault of a text that `JSON.parse` refused: engines word theirs differently and some leave the
 * position out. Null when there is none.
 */
export function findJsonFault(text: string): JsonFault | null {
  const open: ('{' | '[')[] = [];
  let expected: Expectation = 'value';
  let at = 0;
  for (;;) {
    at = skipSpace(text, at);
    if (at === text.length && expected === 'end of the text') return null;
    const token = readToken(text, at);
    if (token.kind === 'bad string') return fault(text, token.end, 'the rest of a string');
    const next: Expectation | null = token.kind === 'none' ? null : step(expected, token.kind, open);
    if (next === null) return fault(text, at, expected);
    at = token.end;
    expected = next;
  }
}

type Mark = '{' | '}' | '[' | ']' | ':' | ',';
type Token = { kind: Mark | 'string' | 'scalar' | 'none' | 'bad string'; end: number };

function readToken(text: string, at: number): Token {
  const first = text[at];
  if (first === '"') return readString(text, at);
  if (first !== undefined && '{}[]:,'.includes(first)) return { kind: first as Mark, end: at + 1 };
  scalar.lastIndex = at;
  return scalar.test(text) ? { kind: 'scalar', end: scalar.lastIndex } : { kind: 'none', end: at };
}

/** The end of a bad string is the place of its fault. */
function readString(text: string, start: number): Token {
  let at = start + 1;
  for (;;) {
    const code = text.charCodeAt(at);
    if (code === 0x22) return { kind: 'string', end: at + 1 };
    if (Number.isNaN(code) || code < 0x20) return { kind: 'bad string', end: at };
    if (code === 0x5c) {
      escaped.lastIndex = at;
      if (!escaped.test(text)) return { kind: 'bad string', end: at };
      at = escaped.lastIndex;
    } else at++;
  }
}

/** What may follow a token, or null when the token itself may not stand here. */
function step(expected: Expectation, kind: Token['kind'], open: ('{' | '[')[]): Expectation | null {
  const afterValue = (): Expectation => {
    const container = open.at(-1);
    return container === undefined ? 'end of the text' : container === '{' ? ', or }' : ', or ]';
  };
  const close = (): Expectation => {
    open.pop();
    return afterValue();
  };
  switch (expected) {
    case 'value or ]':
    case 'value':
      if (kind === ']' && expected === 'value or ]') return close();
      if (kind === '{' || kind === '[') {
        open.push(kind);
        return kind === '{' ? 'name or }' : 'value or ]';
      }
      return kind === 'string' || kind === 'scalar' ? afterValue() : null;
    case 'name or }':
    case 'name':
      if (kind === '}' && expected === 'name or }') return close();
      return kind === 'string' ? ':' : null;
    case ':':
      return kind === ':' ? 'value' : null;
    case ', or }':
      return kind === '}' ? close() : kind === ',' ? 'name' : null;
    case ', or ]':
      return kind === ']' ? close() : kind === ',' ? 'value' : null;
    default:
      return null;
  }
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (' \t\n\r'.includes(text[at] ?? 'x')) at++;
  return at;
}

function fault(text: string, position: number, expected: Expectation): JsonFault {
  const before = text.slice(0, position);
  const line = before.split('\n').length;
  const column = position - before.lastIndexOf('\n');
  const found =
    position === text.length ? 'the text ends' : `found ${JSON.stringify(text.slice(position, position + 16))}`;
  return { position, line, column, message: `expected ${expected} but ${found}` };
}
