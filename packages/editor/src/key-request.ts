import type { EditorConfig } from '@errata/contracts';
import type { Deltas, Pause } from '@errata/model';
import type { EditText } from './lookup.js';

/** What keys are wanted of. */
export interface KeyRequest {
  readonly edits: readonly EditText[];
  readonly config: EditorConfig;
  readonly layer: number;
  readonly deltas: Deltas;
  /** Names the content of a layer's change: equal strings mean equal weights. */
  readonly version: (layer: number) => string;
  readonly pause?: Pause;
}

export interface Keys {
  /** Mean input of the layer's down projection, column-major [intermediate size × edits]. */
  readonly keys: Float32Array;
  /** Hidden state after the last edited layer at the lookup position of the bare prompt, column-major [hidden size × edits]. */
  readonly hidden: Float32Array;
}
