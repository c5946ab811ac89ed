import { createEngine, createMatrixEngine, jsLinearAlgebra, type Precision, type Share } from '@errata/tensor';
import { norm } from '../columns.js';
import { createInverse, type InverseCovariance, type InverseOptions } from '../inverse.js';
import type { LayerState } from '../layer-state.js';
import type { Columns64, Segment, Update } from '../notation.js';
import { squareOf } from '../panel-products.js';
import type { RlsParts } from '../parts.js';

/** The engines that load on this machine, each with the linear algebra that goes with it. */
export async function availableParts(): Promise<readonly RlsParts[]> {
  const plain = { engine: await createMatrixEngine({ prefer: 'wasm' }), linalg: jsLinearAlgebra() };
  const { name, linalg } = await createEngine();
  return name === 'native' ? [{ engine: await createMatrixEngine({ prefer: 'native' }), linalg }, plain] : [plain];
}

/** Uniform fp32 values in (−scale, scale), fixed by the seed. */
export function random(length: number, count: number, seed: number, scale = 1): Columns64 {
  let state = (seed * 2654435761) >>> 0;
  const data = Float64Array.from({ length: length * count }, () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return Math.fround(scale * (state / 2 ** 31 - 1));
  });
  return { length, count, data };
}

export function inverseOf(
  parts: RlsParts,
  d: number,
  options: InverseOptions & { lambda?: number } = {},
): Promise<InverseCovariance> {
  const { lambda = 0.4, ...rest } = options;
  return createInverse(parts, { lambda, mu: 0.8, anchorKeys: random(d, 2 * d, 77) }, rest);
}

/** The record of an update as the log keeps it: fp32. */
export function recorded(seq: number, update: Update): Segment {
  const single = (c: Columns64) => ({ ...c, data: Float32Array.from(c.data) });
  return {
    seq,
    sign: update.sign,
    keys: single(update.keys),
    b: single(update.b),
    g: single(update.g),
    rDiagonal: update.rDiagonal,
  };
}

export function difference(a: Float64Array, b: Float64Array): number {
  return norm(a.map((x, i) => x - b[i]));
}

export function deltaOf(state: LayerState): Promise<Float64Array> {
  return state.deltaRows(state.rows.start, state.heldRows);
}

export function inverseCovarianceOf(state: LayerState): Promise<Float64Array> {
  return squareOf(state.inputs, state.inversePanels());
}

/** How near states of a precision come to the closed form; W is recorded in fp32 whatever the precision. */
export const tolerances: Record<Precision, { readonly w: number; readonly c: number }> = {
  fp64: { w: 2e-5, c: 1e-9 },
  fp32: { w: 1e-3, c: 1e-4 },
};

export const WHOLE: Share = { index: 0, count: 1 };
