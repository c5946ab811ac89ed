import { malformed } from './refusal.js';

/** A JSON object of a file that cannot be trusted. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** @throws ModelError FILE_MALFORMED where it is no object */
export function object(path: string, name: string, value: unknown): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw malformed(path, `${name} of the tokenizer is not an object`);
  return value as JsonObject;
}

/** @throws ModelError FILE_MALFORMED where it is no list */
export function list(path: string, name: string, value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw malformed(path, `${name} of the tokenizer is not a list`);
  return value;
}

/** @throws ModelError FILE_MALFORMED where it is no string */
export function string(path: string, name: string, value: unknown): string {
  if (typeof value !== 'string') throw malformed(path, `${name} of the tokenizer is not a string`);
  return value;
}

/** The value, or a default where it is left out. @throws ModelError FILE_MALFORMED where it is no boolean */
export function boolean(path: string, name: string, value: unknown, otherwise: boolean): boolean {
  if (value === undefined || value === null) return otherwise;
  if (typeof value !== 'boolean') throw malformed(path, `${name} of the tokenizer is neither true nor false`);
  return value;
}
