import { ErrataError, type ErrorDetail } from '@errata/contracts';
import type { z } from 'zod';

/** Deepest nesting of a body; the deepest schema has 4 levels. */
const maxDepth = 32;
/** Most faults that one answer names. */
const maxFaults = 50;
/** A surrogate without its partner: such a string has no UTF-8 form. */
const loneSurrogate = /\p{Surrogate}/u;

/**
 * Checks a value against its schema.
 * @param where what is checked, for the message: "body", "query"
 * @throws INVALID_REQUEST with one detail a fault
 */
export function validate<Schema extends z.ZodType>(schema: Schema, value: unknown, where: string): z.output<Schema> {
  const malformed = valueFaults(value);
  if (malformed.length > 0) throw invalid(where, malformed);
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw invalid(where, detailsOf(result.error));
}

/** @returns the error that names the faults of a part of the request */
export function invalid(where: string, details: readonly ErrorDetail[]): ErrataError {
  const [first] = details;
  const rest = details.length > 1 ? ` (and ${details.length - 1} more)` : '';
  const field = first?.field === undefined ? '' : `${first.field}: `;
  return new ErrataError('INVALID_REQUEST', `The ${where} is not valid: ${field}${first?.message}${rest}`, { details });
}

/** One detail a zod issue; the field in the form `edits[3].target`. */
export function detailsOf(
  error: z.core.$ZodError,
  at: { line?: number; prefix?: readonly PropertyKey[] } = {},
): ErrorDetail[] {
  const line = at.line === undefined ? {} : { line: at.line };
  const details = error.issues.slice(0, maxFaults).flatMap((issue): ErrorDetail[] => {
    const path = [...(at.prefix ?? []), ...issue.path];
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => ({ ...line, field: fieldName([...path, key]), message: 'is not known here' }));
    const message = messageOf(issue);
    return [path.length === 0 ? { ...line, message } : { ...line, field: fieldName(path), message }];
  });
  // An empty text is also a blank one: the first fault of a field says enough.
  const seen = new Set<string>();
  return details.filter(({ field }) => field === undefined || (!seen.has(field) && seen.add(field)));
}

function messageOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return issue.message.endsWith('received undefined') ? `is missing: a ${issue.expected} is needed` : issue.message;
    case 'too_small':
      return issue.origin === 'string' && issue.minimum === 1 ? 'must not be empty' : issue.message;
    case 'too_big':
      return issue.origin === 'string' ? `is longer than ${issue.maximum} characters` : issue.message;
    case 'invalid_union':
      return unionMessage(issue);
    default:
      return issue.message;
  }
}

function unionMessage(issue: z.core.$ZodIssueInvalidUnion): string {
  const messages = issue.errors.flat().map((inner) => inner.message);
  return messages.length === 0 ? issue.message : [...new Set(messages)].join('; or: ');
}

function fieldName(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (name, key) => (typeof key === 'number' ? `${name}[${key}]` : name === '' ? String(key) : `${name}.${String(key)}`),
    '',
  );
}

/** Faults that no schema states: text that Postgres and UTF-8 cannot hold, and nesting without end. */
export function valueFaults(value: unknown, path: readonly PropertyKey[] = []): ErrorDetail[] {
  if (path.length > maxDepth) return [{ message: `is nested more than ${maxDepth} levels deep` }];
  if (typeof value === 'string') return textFault(value, path);
  if (typeof value !== 'object' || value === null) return [];
  const faults: ErrorDetail[] = [];
  const entries: Iterable<[PropertyKey, unknown]> = Array.isArray(value) ? value.entries() : Object.entries(value);
  for (const [key, inner] of entries) {
    faults.push(...valueFaults(inner, [...path, key]));
    if (faults.length >= maxFaults) break;
  }
  return faults;
}

function textFault(text: string, path: readonly PropertyKey[]): ErrorDetail[] {
  const field = path.length === 0 ? {} : { field: fieldName(path) };
  if (text.includes('\0')) return [{ ...field, message: 'must not hold the character U+0000' }];
  if (loneSurrogate.test(text)) return [{ ...field, message: 'holds half of a surrogate pair' }];
  return [];
}
