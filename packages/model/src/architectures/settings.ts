import { ModelError } from '../errors.js';
import { shown } from '../shown.js';

/** Typed reading of a configuration: config.json, or the metadata of a GGUF file. */
export class Settings {
  /** @param path the file, for messages */
  constructor(
    readonly path: string,
    private readonly get: (key: string) => unknown,
  ) {}

  static of(path: string, values: Readonly<Record<string, unknown>>): Settings {
    return new Settings(path, (key) => (Object.hasOwn(values, key) ? values[key] : undefined));
  }

  /** Null and absent are the same. */
  raw(key: string): unknown {
    return this.get(key) ?? undefined;
  }

  has(key: string): boolean {
    return this.raw(key) !== undefined;
  }

  /** A number above zero. @throws ModelError FILE_MALFORMED */
  number(key: string, fallback?: number): number {
    const value = this.raw(key) ?? fallback;
    const found = typeof value === 'bigint' ? Number(value) : value;
    if (typeof found !== 'number' || !Number.isFinite(found) || found <= 0)
      throw this.malformed(`${key} is ${shownValue(value)}, where a number above 0 is due`);
    return found;
  }

  /** A whole number above zero. @throws ModelError FILE_MALFORMED */
  count(key: string, fallback?: number): number {
    const value = this.number(key, fallback);
    if (!Number.isSafeInteger(value)) throw this.malformed(`${key} is ${value}, where a whole number is due`);
    return value;
  }

  /** @throws ModelError FILE_MALFORMED */
  flag(key: string, fallback: boolean): boolean {
    const value = this.raw(key) ?? fallback;
    if (typeof value !== 'boolean') throw this.malformed(`${key} is ${shownValue(value)}, where true or false is due`);
    return value;
  }

  /** @throws ModelError FILE_MALFORMED */
  text(key: string, fallback?: string): string {
    const value = this.raw(key) ?? fallback;
    if (typeof value !== 'string') throw this.malformed(`${key} is ${shownValue(value)}, where a text is due`);
    return value;
  }

  /** Settings nested under a key; undefined where there are none. @throws ModelError FILE_MALFORMED */
  nested(key: string): Settings | undefined {
    const value = this.raw(key);
    if (value === undefined) return undefined;
    if (typeof value !== 'object' || Array.isArray(value))
      throw this.malformed(`${key} is ${shownValue(value)}, where an object is due`);
    return Settings.of(this.path, value as Record<string, unknown>);
  }

  malformed(reason: string): ModelError {
    return new ModelError('FILE_MALFORMED', `${this.path}: ${reason}`);
  }

  unsupported(reason: string): ModelError {
    return new ModelError('UNSUPPORTED_ARCHITECTURE', `${this.path}: ${reason}`);
  }
}

/** A value as it may stand in a message. */
export function shownValue(value: unknown): string {
  if (value === undefined) return 'missing';
  if (typeof value === 'string') return shown(value);
  const text = typeof value === 'bigint' ? String(value) : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
