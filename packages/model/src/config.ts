import type { Activation } from './activation.js';
import type { Rotary } from './rotary.js';

/** Whether a layer attends to all tokens before it, or to those of its window. */
export type AttentionKind = 'full' | 'sliding';

/** Shape of a decoder. Every figure the forward pass depends on is here or in the weights, none in the code. */
export interface ModelConfig {
  /** Name of the family, as in `families`. */
  readonly architecture: string;
  readonly name: string;
  readonly layers: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headSize: number;
  readonly contextLength: number;
  readonly vocabularySize: number;

  /** Root mean square, or mean and variance; the latter has a bias. */
  readonly norm: 'rms' | 'layer';
  readonly normEpsilon: number;
  /** Norms between a block's two halves and their residual additions (Gemma). */
  readonly postNorms: boolean;
  /** Norms of each head's query and key (Qwen3, Gemma 3). */
  readonly queryKeyNorm: boolean;
  readonly activation: Activation;
  /** activation(gate x) · up x, or activation(up x) alone. */
  readonly gated: boolean;
  /** Attention and feed-forward both read the block's input (GPT-J, GPT-NeoX). */
  readonly parallel: boolean;
  readonly biases: Biases;

  /** Rows of the position table are added to the embeddings (GPT-2). */
  readonly learnedPositions: boolean;
  /** Rotary embedding by kind of layer; null for none. */
  readonly rotary: Readonly<Record<AttentionKind, Rotary | null>>;
  /** Kind of each layer. */
  readonly attention: readonly AttentionKind[];
  /** Tokens that a layer of kind `sliding` sees, the token itself among them; null where there is no such layer. */
  readonly window: number | null;
  /** What queries are multiplied with. */
  readonly queryScale: number;
  /** c of c · tanh(x / c), applied to attention scores and to logits; null for none. */
  readonly scoreCap: number | null;
  readonly logitCap: number | null;

  readonly embeddingScale: number;
  /** The unembedding is the embedding. */
  readonly tied: boolean;
}

/** Which matrices have a bias. */
export interface Biases {
  readonly queryKeyValue: boolean;
  readonly output: boolean;
  readonly feedForward: boolean;
  readonly unembedding: boolean;
}
