import type { Model, Tensor } from './types.js';

/** Normalised rows without weight and bias, and what they were multiplied with: what the backward pass needs. */
export interface NormTrace {
  readonly normed: Tensor;
  readonly rootMean: Tensor;
}

/** y = x · r with r = (mean x² + ε)^-½ over the last axis. */
export function rmsNorm(model: Model, x: Tensor): NormTrace {
  const { tf } = model.engine;
  const rootMean: Tensor = tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), model.weights.epsilon));
  return { normed: tf.mul(x, rootMean), rootMean };
}

/** dx = r (dy − y · mean(y · dy)). */
export function rmsNormBackward(model: Model, gradient: Tensor, { normed, rootMean }: NormTrace): Tensor {
  const { tf } = model.engine;
  const along = tf.mean(tf.mul(gradient, normed), -1, true);
  return tf.mul(rootMean, tf.sub(gradient, tf.mul(normed, along)));
}

/** The model's norm without weight and bias: root mean square, of x less its mean where the norm is a layer norm. */
export function normalize(model: Model, x: Tensor): NormTrace {
  const { tf } = model.engine;
  switch (model.config.norm) {
    case 'rms':
      return rmsNorm(model, x);
    case 'layer':
      return rmsNorm(model, tf.sub(x, tf.mean(x, -1, true)));
  }
}

/** Backward pass of {@link normalize}. */
export function normalizeBackward(model: Model, gradient: Tensor, trace: NormTrace): Tensor {
  const { tf } = model.engine;
  switch (model.config.norm) {
    case 'rms':
      return rmsNormBackward(model, gradient, trace);
    case 'layer': {
      // The normed rows have mean zero, so removing the mean commutes with the rest.
      const toCentred = rmsNormBackward(model, gradient, trace);
      return tf.sub(toCentred, tf.mean(toCentred, -1, true));
    }
  }
}
