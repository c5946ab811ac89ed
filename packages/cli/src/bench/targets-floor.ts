import type { EditorConfig } from '@errata/contracts';
import type { EditText, TargetFigures } from '@errata/editor';
import { targetRows } from '@errata/editor/baselines';
import type { Model } from '@errata/model';

/** Order of the square product that the rate is taken from, and how often it runs. */
const order = 2048;
const tries = 4;

/**
 * Floating-point operations that the loop of a target search cannot do without: products with the matrices of the layers
 * above the last edited one, forward and back, on the tokens from the lookup position on (in the last feed-forward on the
 * watched ones alone), and with the unembedding at the watched positions, there and back. Left out: attention, all
 * that is no product with a weight, and what is run once before the loop.
 */
export function searchFlops(
  model: Model,
  edits: readonly EditText[],
  config: EditorConfig,
  figures: readonly TargetFigures[],
): number {
  const { hiddenSize, intermediateSize, heads, keyValueHeads, headSize, vocabularySize, layers, gated } = model.config;
  const attention = (heads + 2 * keyValueHeads) * headSize + heads * headSize;
  const feedForward = 2 * hiddenSize * (gated ? 3 : 2) * intermediateSize;
  const layer = 2 * hiddenSize * attention + feedForward;
  const above = layers - 1 - config.layers[config.layers.length - 1];
  return edits.reduce((sum, edit, e) => {
    const rows = targetRows(model, [edit], config);
    const tokens = rows.reduce((count, { ids, lookup }) => count + ids.length - lookup, 0);
    const positions = rows.reduce((count, { watched }) => count + watched.length, 0);
    const { losses, steps } = figures[e];
    const measured = losses.length;
    const last = above > 0 ? (tokens - positions) * feedForward : 0;
    return (
      sum +
      (measured + steps) * (tokens * above * layer - last) +
      measured * positions * 4 * hiddenSize * vocabularySize
    );
  }, 0);
}

/** Operations a second of a large product on the engine, the best of a few. */
export async function productRate({ engine: { tf } }: Model): Promise<number> {
  const square = tf.randomNormal([order, order]);
  let best = 0;
  for (let i = 0; i < tries; i++) {
    const begun = performance.now();
    const product = tf.matMul(square, square);
    await product.data();
    best = Math.max(best, (2 * order ** 3) / ((performance.now() - begun) / 1000));
    product.dispose();
  }
  square.dispose();
  return best;
}
