import type { Normed } from '@errata/tensor';
import type { Model, Tensor } from './types.js';

/** Normalised rows without weight and bias, and what they were multiplied with: what the backward pass needs. */
export type NormTrace = Normed;

/** y = x · r with r = (mean x² + ε)^-½ over the last axis. */
export function rmsNorm(model: Model, x: Tensor): NormTrace {
  return model.engine.ops.rmsNorm(x, model.weights.epsilon);
}

/** dx = r (dy − y · mean(y · dy)). */
export function rmsNormBackward(model: Model, gradient: Tensor, trace: NormTrace): Tensor {
  return model.engine.ops.rmsNormBackward(gradient, trace);
}

/** The model's norm without weight and bias: root mean square, of x less its mean where the norm is a layer norm. */
export function normalize(model: Model, x: Tensor): NormTrace {
  const { ops } = model.engine;
  switch (model.config.norm) {
    case 'rms':
      return rmsNorm(model, x);
    case 'layer':
      return rmsNorm(model, ops.sub(x, ops.mean(x)));
  }
}

/** Backward pass of {@link normalize}. @param residual added to the gradient */
export function normalizeBackward(model: Model, gradient: Tensor, trace: NormTrace, residual?: Tensor): Tensor {
  const { ops } = model.engine;
  switch (model.config.norm) {
    case 'rms':
      return ops.rmsNormBackward(gradient, trace, residual);
    case 'layer': {
      // The normed rows have mean zero, so removing the mean commutes with the rest.
      const toCentred = rmsNormBackward(model, gradient, trace);
      const back = ops.sub(toCentred, ops.mean(toCentred));
      return residual ? ops.add(residual, back) : back;
    }
  }
}
