import type { Engine } from '@errata/tensor';
import type { ChatTokens } from './chat-tokens.js';
import type { AttentionKind, ModelConfig } from './config.js';
import type { Tokenizer } from './tokenizer.js';

/** The tfjs namespace of an engine. */
export type Tf = Engine['tf'];

/** A tensor of an engine; whoever is handed one disposes it, unless said otherwise. */
export type Tensor = ReturnType<Tf['tensor']>;

/**
 * Weights of one decoder layer, [out, in] each; null where the architecture has none. Weights and biases of the two
 * norms are folded into the matrices and biases that follow them.
 */
export interface LayerWeights {
  readonly attention: AttentionKind;
  /** Queries (scaled), keys, values: [(heads + 2 · key/value heads) · head size, hidden] */
  readonly queryKeyValue: Tensor;
  /** [(heads + 2 · key/value heads) · head size] */
  readonly queryKeyValueBias: Tensor | null;
  /** Weights of the norms of queries (scaled) and keys: [heads + key/value heads, head size] */
  readonly queryKeyNorm: Tensor | null;
  /** [hidden, heads · head size] */
  readonly output: Tensor;
  /** [hidden] */
  readonly outputBias: Tensor | null;
  /** Weight of the norm of what attention adds, [hidden] */
  readonly attentionPostNorm: Tensor | null;
  /** [intermediate, hidden] */
  readonly gate: Tensor | null;
  /** [intermediate] */
  readonly gateBias: Tensor | null;
  /** [intermediate, hidden] */
  readonly up: Tensor;
  /** [intermediate] */
  readonly upBias: Tensor | null;
  /** The matrix that edits change, [hidden, intermediate] */
  readonly down: Tensor;
  /** [hidden] */
  readonly downBias: Tensor | null;
  /** Weight of the norm of what the feed-forward adds, [hidden] */
  readonly feedForwardPostNorm: Tensor | null;
}

export interface ModelWeights {
  /** [vocabulary, hidden] */
  readonly embedding: Tensor;
  /** Added to the embeddings: [context, hidden] */
  readonly positions: Tensor | null;
  /** [vocabulary, hidden]; the embedding itself where the two are tied */
  readonly unembedding: Tensor;
  /** [vocabulary] */
  readonly unembeddingBias: Tensor | null;
  /** [hidden] */
  readonly finalNorm: Tensor;
  /** [hidden] */
  readonly finalNormBias: Tensor | null;
  readonly layers: readonly LayerWeights[];
  /** Scalar: what the norms add to the mean square. */
  readonly epsilon: Tensor;
}

/** A loaded language model. Read-only: edits are passed to the forward pass as {@link Deltas}. */
export interface Model {
  /** sha256 of the weight file, hex. */
  readonly id: string;
  readonly engine: Engine;
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  readonly weights: ModelWeights;
  /** Token every prompt is prefixed with: the attention sink. */
  readonly sinkId: number;
  /** Jinja template that makes a prompt of messages; null where the model was not trained on conversations. */
  readonly chatTemplate: string | null;
  /** What the template is given as the tokens that texts begin and end with. */
  readonly chatTokens: ChatTokens;
}

/** A change of a layer's down projection: W = W₀ + B Gᵀ as factors, or W itself. */
export type LayerDelta =
  /** left: Bᵀ [rank, hidden], right: Gᵀ [rank, intermediate] */
  | { readonly kind: 'factors'; readonly left: Tensor; readonly right: Tensor }
  /** weight: W [hidden, intermediate] */
  | { readonly kind: 'dense'; readonly weight: Tensor };

/** Changed layers by index. */
export type Deltas = ReadonlyMap<number, LayerDelta>;

/** Keys and values of one layer, [rows, key/value heads, columns, head size] each. */
export interface KeyValues {
  readonly keys: Tensor;
  readonly values: Tensor;
}

/** Called between steps of long work, to let other work of the process run; throws to stop the work. */
export type Pause = () => Promise<void>;
