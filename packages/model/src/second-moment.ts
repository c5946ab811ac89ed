import { embed, forward, pickRows } from './forward.js';
import { createLayout } from './layout.js';
import type { Model, Pause, Tensor } from './types.js';

/** Sequences run together; their sum is formed in fp32, the sum over groups in fp64. */
const groupSize = 4;

/** Second moments of layer inputs. */
export interface SecondMoments {
  /** Mean of x xᵀ by layer, [intermediate × intermediate], symmetric. */
  readonly moments: ReadonlyMap<number, Float32Array>;
  readonly tokens: number;
}

/**
 * Mean of x xᵀ over the tokens of the sequences, x the input of a layer's down projection in the unedited model. The
 * sink before each sequence is left out.
 */
export async function secondMoments(
  model: Model,
  sequences: readonly (readonly number[])[],
  layers: readonly number[],
  options: { pause?: Pause; onProgress?: (tokensDone: number) => void } = {},
): Promise<SecondMoments> {
  const { tf } = model.engine;
  const size = model.config.intermediateSize;
  // Lower triangles, row after row.
  const sums = new Map(layers.map((layer) => [layer, new Float64Array((size * (size + 1)) / 2)]));
  const pause = options.pause ?? (async () => undefined);
  let tokens = 0;
  for (let at = 0; at < sequences.length; at += groupSize) {
    const rows = sequences.slice(at, at + groupSize).map((ids) => [model.sinkId, ...ids]);
    const layout = createLayout(
      tf,
      model.config,
      rows.map((row) => ({ first: 0, count: row.length })),
    );
    const embedded = embed(model, rows.flat());
    const kept = rows.flatMap((row, r) => row.slice(1).map((_, i) => layout.starts[r] + 1 + i));
    const products = new Map<number, Tensor>();
    try {
      const { hidden } = await forward(model, embedded, layout, {
        to: Math.max(...layers) + 1,
        pause,
        capture: (layer, activations) => {
          if (!sums.has(layer)) return;
          const inputs = pickRows(model, activations, kept);
          products.set(layer, tf.keep(tf.matMul(inputs, inputs, true, false)));
        },
      });
      hidden.dispose();
      for (const [layer, product] of products) {
        const values = await product.data();
        product.dispose();
        const sum = sums.get(layer) as Float64Array;
        for (let row = 0, at = 0; row < size; row++)
          for (let column = 0; column <= row; column++) sum[at++] += values[row * size + column];
        await pause();
      }
    } finally {
      layout.dispose();
      embedded.dispose();
      tf.dispose([...products.values()]);
    }
    tokens += kept.length;
    options.onProgress?.(tokens);
  }
  const moments = new Map<number, Float32Array>();
  for (const [layer, sum] of sums) {
    const mean = new Float32Array(size * size);
    for (let row = 0, at = 0; row < size; row++)
      for (let column = 0; column <= row; column++)
        mean[row * size + column] = mean[column * size + row] = sum[at++] / tokens;
    moments.set(layer, mean);
    sums.delete(layer);
  }
  return { moments, tokens };
}
