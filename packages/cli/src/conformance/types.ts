import type { Engine } from '@errata/tensor';

/** What a check needs besides the fixture itself. */
export interface ConformanceContext {
  /** GGUF file of the model the tokenizer, model and gguf fixtures were made from. */
  readonly modelPath: string;
  readonly engine: Engine;
}

/** Outcome of one fixture. */
export interface CheckOutcome {
  /** How many single comparisons were made. */
  readonly cases: number;
  /** Largest relative error met, for numeric fixtures. */
  readonly maxRelError?: number;
  /** How many cases differ, for exact fixtures. */
  readonly mismatches?: number;
  readonly pass: boolean;
  /** Name and reason where the input was refused rather than computed. */
  readonly refused?: string;
}

/** A check of one kind of fixture: gets the parsed JSON, throws only when the fixture cannot be read. */
export type Check = (json: unknown, context: ConformanceContext) => Promise<CheckOutcome>;

export type FixtureKind = 'rls' | 'tokenizer' | 'model' | 'gguf';

/** One line of `errata conformance`. */
export interface ConformanceResult extends Partial<CheckOutcome> {
  readonly file: string;
  readonly kind: FixtureKind | 'unknown';
  readonly cases: number;
  readonly pass: boolean;
  /** Why the file could not be checked. */
  readonly error?: string;
}
