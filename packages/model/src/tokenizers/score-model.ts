import { byteTokenIds } from './byte-tokens.js';
import { type MergeRules, mergeSymbols, type Symbols } from './merge.js';
import type { WordModel } from './types.js';
import { cached } from './word-cache.js';

/** What SentencePiece's BPE is made of, as GGUF files hold it. */
export interface ScoreSource {
  /** Ids of the tokens that text is made of. */
  readonly ids: ReadonlyMap<string, number>;
  /** Ids of the byte tokens. */
  readonly byteIds: ReadonlyMap<string, number>;
  /** By id; the highest joins first. */
  readonly scores: readonly number[];
  /** Stands for characters without a token; without it they are left out. */
  readonly unknownId: number | null;
}

/**
 * SentencePiece's BPE: neighbours whose joined text is a token join, by the token's score (llama.cpp's reading of it, with
 * characters that are no token as the tokens of their bytes).
 */
export function scoreModel(source: ScoreSource): WordModel {
  const ranks = denseRanks(source.scores);
  return cached((piece) => {
    const rules: MergeRules = {
      rule: (_left, _right, from, to) => source.ids.get(piece.slice(from, to)) ?? -1,
      rank: (rule) => ranks[rule],
      result: (rule) => rule,
    };
    return withFallback(piece, mergeSymbols(symbolsOf(piece, source.ids), rules), source);
  });
}

/** Equal scores have equal ranks, so that the left one joins first. */
function denseRanks(scores: readonly number[]): Int32Array {
  const distinct = [...new Set(scores)].sort((a, b) => b - a);
  const rankOf = new Map(distinct.map((score, rank) => [score, rank]));
  return Int32Array.from(scores, (score) => rankOf.get(score) as number);
}

function symbolsOf(piece: string, ids: ReadonlyMap<string, number>): Symbols {
  const symbols: Symbols = { ids: [], starts: [], ends: [] };
  let at = 0;
  for (const char of piece) {
    symbols.ids.push(ids.get(char) ?? -1);
    symbols.starts.push(at);
    at += char.length;
    symbols.ends.push(at);
  }
  return symbols;
}

function withFallback(piece: string, merged: Symbols, source: ScoreSource): Symbols {
  if (!merged.ids.includes(-1)) return merged;
  const all: Symbols = { ids: [], starts: [], ends: [] };
  merged.ids.forEach((id, i) => {
    const [start, end] = [merged.starts[i], merged.ends[i]];
    const unknown = source.unknownId === null ? [] : [source.unknownId];
    const ids = id >= 0 ? [id] : (byteTokenIds(source.byteIds, piece.slice(start, end)) ?? unknown);
    for (const each of ids) {
      all.ids.push(each);
      all.starts.push(start);
      all.ends.push(end);
    }
  });
  return all;
}
