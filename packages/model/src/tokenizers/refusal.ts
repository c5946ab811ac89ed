import { ModelError } from '../errors.js';
import { shown } from '../shown.js';

/** Something of a tokenizer that is not implemented, by its name. */
export function unsupported(path: string, what: string, name: unknown, supported: readonly string[]): ModelError {
  const found = typeof name === 'string' ? shown(name) : String(name);
  return new ModelError(
    'UNSUPPORTED_FORMAT',
    `${path}: the tokenizer has ${what} ${found}; supported: ${supported.join(', ')}`,
  );
}

/** A tokenizer that contradicts itself. */
export function malformed(path: string, what: string, cause?: unknown): ModelError {
  return new ModelError('FILE_MALFORMED', `${path}: ${what}`, { cause });
}
