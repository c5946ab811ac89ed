import { malformed } from './refusal.js';
import type { AddedToken } from './types.js';

/** Largest id accepted: real vocabularies end below 300,000. */
const largestId = 2 ** 21;

/** A vocabulary both ways. Ids need not be dense. */
export interface Vocabulary {
  readonly ids: ReadonlyMap<string, number>;
  readonly tokens: ReadonlyMap<number, string>;
}

/** @throws ModelError FILE_MALFORMED for ids that are none, or that two tokens share */
export function vocabularyOf(path: string, entries: Iterable<readonly [token: string, id: unknown]>): Vocabulary {
  const ids = new Map<string, number>();
  const tokens = new Map<number, string>();
  for (const [token, entry] of entries) {
    const id = checkId(path, token, entry);
    const other = tokens.get(id);
    if (other !== undefined)
      throw malformed(path, `the tokens ${JSON.stringify(other)} and ${JSON.stringify(token)} share the id ${id}`);
    ids.set(token, id);
    tokens.set(id, token);
  }
  if (ids.size === 0) throw malformed(path, 'the vocabulary of the tokenizer is empty');
  return { ids, tokens };
}

/** @throws ModelError FILE_MALFORMED */
export function checkId(path: string, token: string, id: unknown): number {
  if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id > largestId)
    throw malformed(path, `the id ${String(id)} of the token ${JSON.stringify(token)} is not within 0 … ${largestId}`);
  return id;
}

/** Tokens by which models end a text or a turn, whatever else their files name. */
const endNames = ['<|endoftext|>', '<|im_end|>', '<|eot_id|>', '<|eom_id|>', '<|end_of_text|>', '<end_of_turn>'];

/** Ids that end a generation: those named, and special tokens known to end a text or a turn. */
export function endIdsOf(named: readonly unknown[], added: readonly AddedToken[]): number[] {
  const known = added.filter(({ special, content }) => special && endNames.includes(content)).map(({ id }) => id);
  return [...new Set([...named.filter((id) => typeof id === 'number'), ...known])];
}

/** An added token that is matched in the text as it is. */
export function plainToken(id: number, content: string, special: boolean): AddedToken {
  return { id, content, special, normalized: false, lstrip: false, rstrip: false, singleWord: false };
}

/**
 * Both halves of "left right".
 * @throws ModelError FILE_MALFORMED
 */
export function mergeOf(path: string, merge: unknown): readonly [string, string] {
  const parts = typeof merge === 'string' ? merge.split(' ') : merge;
  if (!Array.isArray(parts) || parts.length !== 2 || !parts.every((part) => typeof part === 'string'))
    throw malformed(path, `${JSON.stringify(merge)?.slice(0, 80)} is not a merge of two tokens`);
  return [parts[0], parts[1]];
}
