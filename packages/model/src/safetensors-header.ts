import { shown } from './shown.js';

/** Dimensions of a tensor at most: those of NumPy and PyTorch. */
const maxDimensions = 64;

/** A tensor as the header states it. */
export interface SafetensorsInfo {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Where the bytes begin and end, from the start of the data. */
  readonly offsets: readonly [number, number];
}

export interface SafetensorsHeader {
  readonly metadata: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, SafetensorsInfo>;
}

/**
 * Parses the header of a safetensors file. Not with JSON.parse, which keeps the last of two equal keys, rounds integers
 * and builds whatever nesting it finds: only the one shape that the format knows is taken, integers are exact.
 * @throws SyntaxError with the place and what was expected there
 */
export function parseSafetensorsHeader(text: string): SafetensorsHeader {
  if (!text.startsWith('{')) throw new SyntaxError(`begins with ${shown(text.slice(0, 1))} instead of "{"`);
  const scanner = new Scanner(text);
  const tensors = new Map<string, SafetensorsInfo>();
  let metadata: Map<string, string> | undefined;
  scanner.object((key) => {
    if (key === '__metadata__') {
      if (metadata) throw scanner.error('a second "__metadata__"');
      metadata = parseMetadata(scanner);
    } else {
      if (tensors.has(key)) throw scanner.error(`a second tensor ${shown(key)}`);
      tensors.set(key, parseInfo(scanner, key));
    }
  });
  scanner.end();
  return { metadata: metadata ?? new Map(), tensors };
}

function parseMetadata(scanner: Scanner): Map<string, string> {
  const metadata = new Map<string, string>();
  scanner.object((key) => {
    if (metadata.has(key)) throw scanner.error(`a second ${shown(key)} in "__metadata__"`);
    metadata.set(key, scanner.string());
  });
  return metadata;
}

function parseInfo(scanner: Scanner, name: string): SafetensorsInfo {
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  scanner.object((key) => {
    if (key === 'dtype' && dtype === undefined) dtype = scanner.string();
    else if (key === 'shape' && !shape) shape = scanner.integers();
    else if (key === 'data_offsets' && !offsets) offsets = scanner.integers();
    else throw scanner.error(`an unknown or second ${shown(key)} of tensor ${shown(name)}`);
  });
  if (dtype === undefined || !shape || offsets?.length !== 2)
    throw scanner.error(`tensor ${shown(name)} without dtype, shape or the two data_offsets`);
  return { dtype, shape, offsets: [offsets[0], offsets[1]] };
}

/** Reads the values that a header may hold, and nothing else of JSON. */
class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  error(found: string): SyntaxError {
    return new SyntaxError(`has ${found} at character ${this.#at}`);
  }

  /** Calls `member` with each key, in front of its value. */
  object(member: (key: string) => void): void {
    this.#expect('{');
    if (this.#accept('}')) return;
    do {
      this.#skipSpace();
      const key = this.string();
      this.#expect(':');
      member(key);
    } while (this.#accept(','));
    this.#expect('}');
  }

  integers(): number[] {
    const values: number[] = [];
    this.#expect('[');
    if (this.#accept(']')) return values;
    do {
      if (values.length === maxDimensions) throw this.error(`more than ${maxDimensions} numbers in a list`);
      values.push(this.#integer());
    } while (this.#accept(','));
    this.#expect(']');
    return values;
  }

  string(): string {
    this.#skipSpace();
    if (this.#text[this.#at] !== '"') throw this.#unexpected('a string');
    let end = this.#text.indexOf('"', this.#at + 1);
    while (end >= 0 && this.#isEscaped(end)) end = this.#text.indexOf('"', end + 1);
    if (end < 0) throw this.error('a string without an end');
    const literal = this.#text.slice(this.#at, end + 1);
    const value = parseString(literal);
    if (value === null) throw this.error(`the malformed string ${shown(literal)}`);
    this.#at = end + 1;
    return value;
  }

  end(): void {
    this.#skipSpace();
    if (this.#at < this.#text.length) throw this.#unexpected('the end');
  }

  #integer(): number {
    this.#skipSpace();
    const pattern = /(?:0|[1-9]\d*)(?![\d.eE])/y;
    pattern.lastIndex = this.#at;
    const digits = pattern.exec(this.#text)?.[0];
    if (digits === undefined) throw this.#unexpected('a whole number');
    const value = Number(digits);
    if (!Number.isSafeInteger(value)) throw this.error(`the number ${shown(digits)}, which overflows,`);
    this.#at += digits.length;
    return value;
  }

  #isEscaped(at: number): boolean {
    let backslashes = 0;
    while (this.#text[at - 1 - backslashes] === '\\') backslashes++;
    return backslashes % 2 === 1;
  }

  #accept(char: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  #expect(char: string): void {
    if (!this.#accept(char)) throw this.#unexpected(`"${char}"`);
  }

  #unexpected(wanted: string): SyntaxError {
    const found = this.#text.slice(this.#at, this.#at + 20);
    return this.error(`${found === '' ? 'nothing' : shown(found)} instead of ${wanted}`);
  }

  #skipSpace(): void {
    while (' \t\n\r'.includes(this.#text[this.#at] ?? '-')) this.#at++;
  }
}

/** Null where JSON or UTF-8 (lone surrogates) has no such string. */
function parseString(literal: string): string | null {
  if (!literal.includes('\\')) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what JSON forbids within strings
    return /[\u0000-\u001f]/.test(literal) ? null : literal.slice(1, -1);
  }
  try {
    const value = JSON.parse(literal) as string;
    return /\p{Surrogate}/u.test(value) ? null : value;
  } catch {
    return null;
  }
}
