import type { Precision } from '@errata/tensor';
import { UsageError } from '../failure.js';

/** Engines that a benchmark can run on. */
export const ENGINES = ['native', 'wasm', 'webgpu'] as const;
export type EngineName = (typeof ENGINES)[number];

const PRECISIONS = ['auto', 'fp32', 'fp64'] as const;
/** Largest dimension compared with the closed form. */
const MAX_CLOSED_FORM = 8192;
/** Largest dimension taken: beyond it the packed C alone passes 16 GiB in fp32. */
const MAX_DIMENSION = 92_000;
/** Edits over which flatness is judged unless told otherwise. */
const DEFAULT_HISTORY = 10_000;

/** What `bench rls` runs. */
export interface RlsBenchOptions {
  readonly dIn: number;
  readonly dOut: number;
  readonly batch: number;
  /** Edits whose batches give the milliseconds a batch. */
  readonly edits: number;
  /** Edits of which the last 1 % are compared with the first. */
  readonly history: number;
  readonly engine: EngineName;
  readonly precision: 'auto' | Precision;
  readonly foldRank: number | null;
  readonly seed: number;
}

/** A whole number of an option. @throws UsageError naming the option and the bounds */
export function wholeNumber(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max)
    throw new UsageError(`${option} is "${text}": give a whole number from ${min} to ${max}`);
  return value;
}

/** One of the listed words. @throws UsageError */
export function oneOf<T extends string>(option: string, text: string, words: readonly T[]): T {
  const found = words.find((word) => word === text);
  if (found === undefined) throw new UsageError(`${option} is "${text}": give one of ${words.join(', ')}`);
  return found;
}

/** Options as the command line has them. */
export interface RawRlsOptions {
  readonly dIn?: string;
  readonly dOut?: string;
  readonly batch: string;
  readonly edits?: string;
  readonly history?: string;
  readonly engine: string;
  readonly precision: string;
  readonly foldRank?: string;
  readonly seed: string;
}

/**
 * Options of `bench rls`. One of --edits and --history stands for the other where only one is given.
 * @throws UsageError
 */
export function parseRlsOptions(raw: RawRlsOptions): RlsBenchOptions {
  const dIn = wholeNumber('--d-in', raw.dIn ?? '14336', 2, MAX_DIMENSION);
  const edits = raw.edits ?? raw.history ?? String(DEFAULT_HISTORY);
  return {
    dIn,
    dOut: wholeNumber('--d-out', raw.dOut ?? '4096', 1, MAX_DIMENSION),
    batch: wholeNumber('--batch', raw.batch, 1, dIn),
    edits: wholeNumber('--edits', edits, 1, 10_000_000),
    history: wholeNumber('--history', raw.history ?? edits, 1, 10_000_000),
    engine: oneOf('--engine', raw.engine, ENGINES),
    precision: oneOf('--precision', raw.precision, PRECISIONS),
    foldRank: raw.foldRank === undefined ? null : wholeNumber('--fold-rank', raw.foldRank, 1, dIn),
    seed: wholeNumber('--seed', raw.seed, 0, 2 ** 32 - 1),
  };
}

/** What `bench rls --accuracy` runs. */
export interface AccuracyOptions {
  /** Inputs of synthetic keys, and of a key file without its own shape. */
  readonly dIn: number;
  readonly dOut: number;
  readonly batch: number;
  readonly edits: number;
  readonly engine: EngineName;
  readonly precision: 'auto' | Precision;
  readonly seed: number;
}

/** Options of `bench rls --accuracy`: the size of SmolLM2's layers where none is given. @throws UsageError */
export function parseAccuracyOptions(raw: RawRlsOptions): AccuracyOptions {
  // The closed form it is compared with is several dense d × d matrices in fp64 on the host.
  const dIn = wholeNumber('--d-in', raw.dIn ?? '1536', 2, MAX_CLOSED_FORM);
  return {
    dIn,
    dOut: wholeNumber('--d-out', raw.dOut ?? '576', 1, MAX_CLOSED_FORM),
    batch: wholeNumber('--batch', raw.batch, 1, dIn),
    edits: wholeNumber('--edits', raw.edits ?? raw.history ?? String(DEFAULT_HISTORY), 1, 1_000_000),
    engine: oneOf('--engine', raw.engine, ENGINES),
    precision: oneOf('--precision', raw.precision, PRECISIONS),
    seed: wholeNumber('--seed', raw.seed, 0, 2 ** 32 - 1),
  };
}

/** What `bench crossover` runs. */
export type CrossoverOptions = Pick<RlsBenchOptions, 'dIn' | 'dOut' | 'engine' | 'precision' | 'seed'>;

/** @throws UsageError */
export function parseCrossoverOptions(raw: Omit<RawRlsOptions, 'batch'>): CrossoverOptions {
  return {
    dIn: wholeNumber('--d-in', raw.dIn ?? '4096', 2, MAX_DIMENSION),
    dOut: wholeNumber('--d-out', raw.dOut ?? '1024', 1, MAX_DIMENSION),
    engine: oneOf('--engine', raw.engine, ENGINES),
    precision: oneOf('--precision', raw.precision, PRECISIONS),
    seed: wholeNumber('--seed', raw.seed, 0, 2 ** 32 - 1),
  };
}
