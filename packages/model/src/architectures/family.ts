import type { Biases, ModelConfig } from '../config.js';
import type { Settings } from './settings.js';

/** An architecture as data: what it is, how its configurations spell it, and where its tensors lie. */
export interface Family {
  readonly name: string;
  readonly traits: Traits;
  readonly folder: FolderFormat;
  /** Null where llama.cpp has no such architecture. */
  readonly gguf: GgufFormat | null;
}

/** What all models of a family have in common. */
export type Traits = Pick<ModelConfig, 'norm' | 'postNorms' | 'queryKeyNorm' | 'gated' | 'learnedPositions'> & {
  /** Embeddings are multiplied with √hidden size. */
  readonly scaledEmbedding: boolean;
};

/** A Hugging Face folder of the family: config.json and the names of its tensors. */
export interface FolderFormat {
  /** `model_type` of config.json. */
  readonly modelTypes: readonly string[];
  /** Key of config.json that holds the settings of the text model, where those of other models stand beside them. */
  readonly nestedIn?: string;
  readonly keys: FolderKeys;
  /** What transformers takes where config.json is silent, by its key. */
  readonly defaults: Readonly<Record<string, unknown>>;
  /** Settings by key that must have one of some values (absent is null): other values change the computation. */
  readonly only?: Readonly<Record<string, readonly unknown[]>>;
  readonly rotary: RotarySource;
  readonly sliding: SlidingRule;
  readonly parallel: (settings: Settings) => boolean;
  readonly biases: (settings: Settings) => Biases;
  readonly tensors: TensorNames;
}

/** Keys of config.json. */
export interface FolderKeys {
  readonly layers: string;
  readonly hiddenSize: string;
  /** Where absent, 4 · hidden size. */
  readonly intermediateSize: string;
  readonly heads: string;
  readonly keyValueHeads?: string | undefined;
  readonly headSize?: string | undefined;
  readonly contextLength: string;
  readonly normEpsilon: string;
  readonly activation: string;
  /** Its inverse root is what queries are multiplied with; the head size where this is not given. */
  readonly queryScalar?: string;
  readonly scoreCap?: string | undefined;
  readonly logitCap?: string;
}

/** Where the figures of the rotary embedding stand, beside `rope_parameters` and `rope_scaling`. */
export type RotarySource =
  | { readonly kind: 'none' }
  /** All dimensions of a head. `localBase`: key of the base of layers with a window, which are never stretched. */
  | {
      readonly kind: 'whole';
      readonly base: string;
      readonly defaultBase: number;
      readonly localBase?: { readonly key: string; readonly fallback: number };
    }
  /** A share of each head. */
  | { readonly kind: 'share'; readonly base: string; readonly defaultBase: number; readonly share: string }
  /** A number of dimensions of each head. */
  | { readonly kind: 'dimensions'; readonly base: number; readonly dimensions: string };

/** Which layers see a window only. `layer_types` of config.json comes before what is said here. */
export type SlidingRule =
  | { readonly kind: 'none' }
  | { readonly kind: 'all' }
  /** Layers from `max_window_layers` on, where `use_sliding_window` says so. */
  | { readonly kind: 'from' }
  /** All but every n-th. */
  | { readonly kind: 'pattern'; readonly key: string; readonly fallback: number };

/** A GGUF file of the family. Keys are llama.cpp's, below the name of the architecture. */
export interface GgufFormat {
  /** `general.architecture` */
  readonly architecture: string;
  readonly activation: ModelConfig['activation'];
  /** The part of a head that is rotated when `rope.dimension_count` is absent is all of it; null for no rotation. */
  readonly rotary: { readonly defaultBase: number; readonly localBase?: number } | null;
  /** All but every n-th layer see a window only; 0 for all layers where the file names a window. */
  readonly slidingPattern: number;
  /** Layers of the model whose query scale is 1/√(hidden size / heads) instead of 1/√head size. */
  readonly wideQueryScaleLayers?: number;
  /** Soft caps where the file names none. */
  readonly caps?: { readonly scores: number | null; readonly logits: number | null };
  readonly parallel: (settings: Settings) => boolean;
  readonly biases: (has: (tensor: string) => boolean) => Biases;
  readonly tensors: TensorNames;
}

/** Where tensors lie, by names without ".weight" and ".bias"; `{}` stands for the layer. */
export interface TensorNames {
  /** What names but that of the unembedding begin with: the first of these that the file uses. */
  readonly roots: readonly string[];
  readonly embedding: string;
  readonly positions?: string;
  readonly finalNorm: string;
  /** The first of these that the file has. */
  readonly unembedding: readonly string[];
  readonly layer: LayerNames;
  /** Order of the rotated rows of a head: pairs half a head apart, or side by side. */
  readonly rotaryPairs: 'halves' | 'neighbours';
  /** Norms are multiplied with this + their weight. */
  readonly normOffset: 0 | 1;
  /** Matrices of the layers are stored [in, out]. */
  readonly transposed: boolean;
  /** Tensors that say nothing the configuration does not say. */
  readonly ignored: readonly RegExp[];
}

export interface LayerNames {
  readonly attentionNorm: string;
  /** One name each, or one for all: queries, keys and values one after the other, or so within each head. */
  readonly queryKeyValue:
    | { readonly kind: 'separate'; readonly query: string; readonly key: string; readonly value: string }
    | { readonly kind: 'joined' | 'joined-by-head'; readonly all: string };
  readonly queryNorm?: string;
  readonly keyNorm?: string;
  readonly output: string;
  readonly attentionPostNorm?: string;
  /** The same as that of attention in GPT-J. */
  readonly feedForwardNorm: string;
  readonly gate?: string | undefined;
  readonly up: string;
  readonly down: string;
  readonly feedForwardPostNorm?: string;
}
