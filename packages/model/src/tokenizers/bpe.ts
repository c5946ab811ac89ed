import { shown } from '../shown.js';
import { byteTokenIds } from './byte-tokens.js';
import { type MergeRules, mergeSymbols, mostRanks, type Symbols } from './merge.js';
import { PairTable } from './pair-table.js';
import { malformed } from './refusal.js';
import type { WordModel } from './types.js';
import { cached } from './word-cache.js';

/** What byte-pair encoding is made of. */
export interface BpeSource {
  readonly ids: ReadonlyMap<string, number>;
  /** Best first. */
  readonly merges: readonly (readonly [left: string, right: string])[];
  /** A piece that is itself a token is that token, whatever the merges make of it. */
  readonly ignoreMerges: boolean;
  /** Characters without a token become the tokens of their UTF-8 bytes, `<0x0A>`. */
  readonly byteFallback: boolean;
  /** Stands for characters without a token; without it they are left out. */
  readonly unknown: { readonly id: number; readonly fuse: boolean } | null;
}

/**
 * Byte-pair encoding by ranked merges.
 * @throws ModelError FILE_MALFORMED for merges of tokens that the vocabulary lacks
 */
export function bpeModel(source: BpeSource, path: string): WordModel {
  const rules = mergeRules(source, path);
  return cached((piece) => {
    const whole = source.ignoreMerges ? source.ids.get(piece) : undefined;
    if (whole !== undefined) return { ids: [whole], starts: [0], ends: [piece.length] };
    return mergeSymbols(symbolsOf(piece, source), rules);
  });
}

function mergeRules({ ids, merges }: BpeSource, path: string): MergeRules {
  if (merges.length > mostRanks) throw malformed(path, `${merges.length} merges are more than ${mostRanks}`);
  const table = new PairTable(merges.length);
  const results = new Int32Array(merges.length);
  const idOf = (token: string, merge: readonly string[]): number => {
    const id = ids.get(token);
    if (id === undefined)
      throw malformed(
        path,
        `the merge ${shown(merge.join(' '))} names ${shown(token)}, which is not in the vocabulary`,
      );
    return id;
  };
  merges.forEach((merge, rank) => {
    const [left, right] = merge;
    table.add(idOf(left, merge), idOf(right, merge), rank);
    results[rank] = idOf(left + right, merge);
  });
  return {
    rule: (left, right) => table.get(left, right),
    rank: (rule) => rule,
    result: (rule) => results[rule],
  };
}

function symbolsOf(piece: string, source: BpeSource): Symbols {
  const symbols: Symbols = { ids: [], starts: [], ends: [] };
  let unknownBefore = false;
  let at = 0;
  for (const char of piece) {
    const end = at + char.length;
    const id = source.ids.get(char);
    const ids = id === undefined && source.byteFallback ? byteTokenIds(source.ids, char) : undefined;
    if (id !== undefined) push(symbols, id, at, end);
    else if (ids) for (const byteId of ids) push(symbols, byteId, at, end);
    else if (source.unknown?.fuse && unknownBefore) symbols.ends[symbols.ends.length - 1] = end;
    else if (source.unknown) push(symbols, source.unknown.id, at, end);
    unknownBefore = id === undefined && !ids;
    at = end;
  }
  return symbols;
}

function push(symbols: Symbols, id: number, start: number, end: number): void {
  symbols.ids.push(id);
  symbols.starts.push(start);
  symbols.ends.push(end);
}
