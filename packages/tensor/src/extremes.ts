import { symmetricEigenvalues } from './eigen.js';

/** Lanczos steps: with full reorthogonalisation the extreme eigenvalue settles to 1e-4 well within these. */
const STEPS = 60;

/**
 * Largest eigenvalue of a symmetric positive semi-definite operator, by Lanczos iteration with full reorthogonalisation
 * from a fixed start (Golub & Van Loan, 10.1): an estimate from below, exact for n ≤ 60. Pass the product with A⁻¹ to
 * get 1/λ_min(A).
 *
 * @param apply the operator, a vector of length n to one of length n
 */
export function largestEigenvalue(n: number, apply: (x: Float64Array) => Float64Array): number {
  const lanczos = startLanczos(n);
  let given: Float64Array | undefined;
  for (;;) {
    const step = given === undefined ? lanczos.next() : lanczos.next(given);
    if (step.done) return step.value;
    given = apply(step.value);
  }
}

/** As {@link largestEigenvalue}, of an operator that takes its time. */
export async function largestEigenvalueAsync(
  n: number,
  apply: (x: Float64Array) => Promise<Float64Array>,
): Promise<number> {
  const lanczos = startLanczos(n);
  let given: Float64Array | undefined;
  for (;;) {
    const step = given === undefined ? lanczos.next() : lanczos.next(given);
    if (step.done) return step.value;
    given = await apply(step.value);
  }
}

/** The iteration, which yields vectors, takes their products and returns the eigenvalue. */
function* startLanczos(n: number): Generator<Float64Array, number, Float64Array> {
  const basis: Float64Array[] = [];
  const diagonal: number[] = [];
  const off: number[] = [];
  // A start without symmetry, so that it is orthogonal to no eigenvector of practical matrices.
  let next = Float64Array.from({ length: n }, (_, i) => 1 + 0.5 * Math.sin(1 + i * 1.7) + 0.1 * Math.sin(i * i));
  let norm = euclideanNorm(next);
  const steps = Math.min(n, STEPS);
  for (let step = 0; step < steps; step++) {
    const v = next.map((x) => x / norm);
    basis.push(v);
    const w = (yield v).slice();
    diagonal.push(dot(v, w));
    // Twice is enough (Kahan): the second pass removes what rounding left of the first.
    for (let pass = 0; pass < 2; pass++)
      for (const b of basis) {
        const along = dot(b, w);
        for (let i = 0; i < n; i++) w[i] -= along * b[i];
      }
    next = w;
    norm = euclideanNorm(w);
    if (norm <= 1e-14 * Math.abs(diagonal[0]) || norm === 0) break;
    off.push(norm);
  }
  const m = diagonal.length;
  const tridiagonal = new Float64Array(m * m);
  for (let i = 0; i < m; i++) {
    tridiagonal[i * m + i] = diagonal[i];
    if (i + 1 < m) {
      tridiagonal[i * m + i + 1] = off[i];
      tridiagonal[(i + 1) * m + i] = off[i];
    }
  }
  return symmetricEigenvalues(tridiagonal, m)[m - 1];
}

function dot(a: Float64Array, b: Float64Array): number {
  let s = 0;
  for (let i = 0; i < a.length; i++) s += a[i] * b[i];
  return s;
}

function euclideanNorm(x: Float64Array): number {
  return Math.sqrt(dot(x, x));
}
