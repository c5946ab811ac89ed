import type { AttentionPlan } from '@errata/tensor';
import type { Layout } from './layout.js';
import { keyValueColumns, mixPadded, mixPaddedBackward, type PaddedHeads } from './padded-attention.js';
import type { KeyValues, LayerWeights, Model, Tensor } from './types.js';

/**
 * Longest row that attention as one operation is for: it computes a head's scores one by one, which beats products of
 * matrices as long as those are small.
 */
const shortRow = 48;

/** Whether rows of up to `width` new tokens are attended to by one operation, and not by products over padded rows. */
export function attendsAtOnce({ engine }: Model, width: number): boolean {
  return engine.ops.attention !== null && width <= shortRow;
}

/** What the backward pass of attention needs. */
export type HeadsTrace =
  // A function, as the tensors of a plan are not the trace's to free.
  | { readonly kind: 'packed'; readonly plan: () => AttentionPlan; readonly rotated: Tensor; readonly shares: Tensor }
  | ({ readonly kind: 'padded' } & PaddedHeads);

export interface MixedHeads {
  /** [tokens, heads · head size] */
  readonly mixed: Tensor;
  /** Of past and new columns, made in the scope of the call. */
  readonly keyValues: () => KeyValues;
  readonly trace: HeadsTrace;
}

/**
 * Rotates the queries and keys of packed tokens and mixes the values that each token sees.
 * @param projected queries, keys and values, a token's heads side by side: [tokens, slots · head size]
 */
export function mixHeads(
  model: Model,
  weights: LayerWeights,
  projected: Tensor,
  layout: Layout,
  past?: KeyValues,
): MixedHeads {
  const { heads, keyValueHeads, headSize, scoreCap } = model.config;
  const { ops } = model.engine;
  const view = layout.view(weights.attention);
  if (!ops.attention || !attendsAtOnce(model, layout.width)) {
    const { mixed, heads: padded } = mixPadded(model, view, projected, layout, past);
    const { keys, values } = padded;
    return { mixed, keyValues: () => ({ keys, values }), trace: { kind: 'padded', ...padded } };
  }
  const plan: AttentionPlan = {
    heads,
    groups: keyValueHeads,
    width: layout.width,
    cap: scoreCap,
    spans: layout.spanIndex(),
    mask: view.mask,
    rotation: view.rotation,
    past: past ?? null,
  };
  const { mixed, rotated, shares } = ops.attention.forward(plan, projected);
  const keyValues = () => keyValueColumns(model, ops.reshape(rotated, [-1, headSize]), layout, past);
  return { mixed, keyValues, trace: { kind: 'packed', plan: () => plan, rotated, shares } };
}

/** From the gradient of `mixed` of {@link mixHeads} to that of `projected`. */
export function mixHeadsBackward(
  model: Model,
  weights: LayerWeights,
  gradient: Tensor,
  layout: Layout,
  trace: HeadsTrace,
): Tensor {
  if (trace.kind === 'padded') return mixPaddedBackward(model, layout.view(weights.attention), gradient, layout, trace);
  const { attention } = model.engine.ops;
  if (!attention) throw new Error('a packed trace needs the engine that made it');
  return attention.backward(trace.plan(), gradient, trace);
}
