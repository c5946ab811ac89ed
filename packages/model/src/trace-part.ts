import type { AttentionPlan } from '@errata/tensor';
import type { TracedRun } from './backward.js';
import type { BlockTrace } from './block.js';
import { type Layout, rowTokens } from './layout.js';
import { free } from './memory.js';
import type { Model, Tensor } from './types.js';

/** The part of a traced run that some rows of its layout have: what `backward` needs to go over them alone. */
export interface TracePart {
  /** The rows' place among themselves; indices and views are those of the whole. */
  readonly layout: Layout;
  /** The packed tokens that left the last layer, counted among those of the part. */
  readonly leaving: readonly number[];
  /** The trace of the i-th layer that ran, made in the caller's scope. */
  readonly trace: (i: number) => BlockTrace;
  readonly dispose: () => void;
}

/**
 * The part of a traced run that `rows` of its layout have, in order; null where all tokens left the last layer, or the
 * engine's attention keeps rows together. The run stays the caller's and has to outlive the part.
 */
export function tracePart(model: Model, run: TracedRun, layout: Layout, rows: readonly number[]): TracePart | null {
  const packed = run.traces.every(({ attention }) => attention.heads.kind === 'packed');
  if (!packed || !run.leaving) return null;
  const { tf, ops } = model.engine;
  const tokens = rows.flatMap((row) => rowTokens(layout, row));
  const places = new Map(tokens.map((token, place) => [token, place]));
  const kept = run.leaving.flatMap((token, i) => (places.has(token) ? [i] : []));
  const leaving = kept.map((i) => places.get(run.leaving?.[i] as number) as number);
  const owned: Tensor[] = [];
  const own = (tensor: Tensor): Tensor => {
    owned.push(tensor);
    return tensor;
  };
  const index = (values: readonly number[]): Tensor => own(tf.tensor1d(Int32Array.from(values), 'int32'));
  const [tokenIndex, keptIndex] = [index(tokens), index(kept)];
  /** Every tensor of a trace has tokens along its first axis. */
  const pick = <T>(value: T, at: Tensor): T => {
    if (value instanceof tf.Tensor) return ops.gather(value as Tensor, at) as T;
    if (value === null || typeof value !== 'object') return value;
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, pick(part, at)])) as T;
  };
  const narrowed = narrowPlan(model, layout, rows, tokens, own);
  const spans = rows.map((row) => layout.spans[row]);
  const starts = rows.map((row) => places.get(layout.starts[row]) as number);
  return {
    layout: { ...layout, rows: rows.length, spans, starts, tokens: tokens.length },
    leaving,
    trace(i) {
      const { attention, feedForward } = run.traces[i];
      const picked = pick(attention, tokenIndex);
      const { heads } = picked;
      return {
        attention:
          heads.kind === 'packed' ? { ...picked, heads: { ...heads, plan: () => narrowed(heads.plan()) } } : picked,
        feedForward: pick(feedForward, i === run.traces.length - 1 ? keptIndex : tokenIndex),
      };
    },
    dispose: () => free(tf, owned),
  };
}

/** Plans that leave the columns of all rows where they are, and give those that are out no tokens. */
function narrowPlan(
  model: Model,
  layout: Layout,
  rows: readonly number[],
  tokens: readonly number[],
  own: (tensor: Tensor) => Tensor,
): (plan: AttentionPlan) => AttentionPlan {
  const { tf, ops } = model.engine;
  const spans = new Int32Array(2 * layout.rows);
  let first = 0;
  for (const row of rows) {
    const { count } = layout.spans[row];
    spans.set([first, count], 2 * row);
    first += count;
  }
  const spanIndex = own(tf.tensor2d(spans, [layout.rows, 2], 'int32'));
  const rotations = new Map<Tensor, AttentionPlan['rotation']>();
  const narrowed = (rotation: NonNullable<AttentionPlan['rotation']>): AttentionPlan['rotation'] => {
    const known = rotations.get(rotation.cosines);
    if (known) return known;
    const slots = rotation.cosines.shape[0] / layout.tokens;
    const places = tf.tensor1d(
      Int32Array.from(tokens.flatMap((token) => Array.from({ length: slots }, (_, slot) => token * slots + slot))),
      'int32',
    );
    const found = {
      cosines: own(tf.keep(ops.gather(rotation.cosines, places))),
      sines: own(tf.keep(ops.gather(rotation.sines, places))),
    };
    rotations.set(rotation.cosines, found);
    return found;
  };
  return (plan) => ({ ...plan, spans: spanIndex, rotation: plan.rotation && narrowed(plan.rotation) });
}
