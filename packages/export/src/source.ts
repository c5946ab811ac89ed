import type { Architecture, ModelFiles, Pause } from '@errata/model';
import type { LayerFactors } from './factors.js';

/** Everything an export is made from. */
export interface ExportSource {
  /** Of the base model, opened; weights are read from them again, so that no engine is needed. */
  readonly files: ModelFiles;
  readonly architecture: Architecture;
  /** Name of the base model, for who loads an adapter. */
  readonly modelName: string;
  readonly layers: readonly LayerFactors[];
  readonly pause: Pause;
}

/** What was written of a layer. */
export interface LayerRecord {
  readonly layer: number;
  readonly columns: number;
  readonly rank: number;
  readonly relativeError: number;
  readonly removals?: number;
}
