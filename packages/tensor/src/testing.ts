import { jsLinearAlgebra } from './f64-js.js';
import type { Panel } from './matrix-engine.js';

/** Deterministic numbers in [−1, 1). */
export function randoms(count: number, seed: number): Float64Array {
  let state = seed >>> 0;
  return Float64Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** A symmetric positive definite n × n matrix: a diagonal from 1 to 2 plus one of rank 8. */
export function spd(n: number, seed: number): Float64Array {
  const x = { rows: n, columns: 8, data: randoms(n * 8, seed) };
  const a = jsLinearAlgebra().matmul(x, x, { transposeB: true });
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) a[j * n + i] = a[i * n + j];
    a[i * n + i] += 1 + i / n;
  }
  return a;
}

/** ‖actual − expected‖ / ‖expected‖; NaN where either has one. */
export function relativeError(actual: Float64Array, expected: Float64Array): number {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i] - expected[i]) ** 2;
    size += expected[i] ** 2;
  }
  return Math.sqrt(difference / size);
}

/** The lower panels of a square. What lies above the diagonal of a diagonal tile is spoilt: nobody may read it. */
export function lowerPanels(square: Float64Array, n: number): (firstRow: number, rows: number) => Panel {
  return (firstRow, rows) => {
    const columns = firstRow + rows;
    const data = new Float64Array(rows * columns).fill(1e6);
    for (let i = 0; i < rows; i++)
      data.set(square.subarray((firstRow + i) * n, (firstRow + i) * n + firstRow + i + 1), i * columns);
    return { firstRow, rows, columns, data };
  };
}
