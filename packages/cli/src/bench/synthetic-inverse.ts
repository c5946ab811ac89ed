import type { InverseCovariance, RlsParts } from '@errata/rls';
import { type Panel, type Precision, type SymmetricMatrix, symmetricEigenvalues } from '@errata/tensor';
import type { KeySource } from './key-source.js';

/** kᵀC₀k of a typical key: in the range at which editing works best. */
const STRENGTH = 30;

/**
 * The inverse covariance that belongs to a key source, without an inversion: A₀ = w (n I + U Uᵀ) with w such that kᵀC₀k
 * is about 30, and C₀ by the Woodbury identity, both filled panel by panel. Inverting is not what is timed.
 */
export async function syntheticInverse(
  { engine, linalg }: RlsParts,
  source: KeySource,
  precision: Precision,
): Promise<InverseCovariance> {
  const { dimension: d, noise } = source;
  const { count: r, data: u } = source.directions;
  const weight = d / STRENGTH;
  const directions = { rows: r, columns: d, data: u };
  const gram = linalg.matmul(directions, directions, { transposeB: true });
  const inner = gram.map((x, i) => x + (i % (r + 1) === 0 ? noise : 0));
  // C₀ = (I − U (n I + UᵀU)⁻¹ Uᵀ) / (w n)
  const scaled = linalg.matmul({ rows: r, columns: r, data: linalg.invertSpd(inner, r) }, directions);
  const shares = { index: 0, count: 1 };
  const make = (factor: number, right: Float64Array, sign: 1 | -1, diagonal: number): Promise<SymmetricMatrix> =>
    engine.symmetric({
      dimension: d,
      precision,
      share: shares,
      fill(firstRow, rows): Panel {
        const columns = firstRow + rows;
        const pick = (from: Float64Array, first: number, count: number) => {
          const data = new Float64Array(r * count);
          for (let j = 0; j < r; j++) data.set(from.subarray(j * d + first, j * d + first + count), j * count);
          return { rows: r, columns: count, data };
        };
        const data = linalg.matmul(pick(right, firstRow, rows), pick(u, 0, columns), { transposeA: true });
        for (let i = 0; i < data.length; i++) data[i] *= sign * factor;
        for (let i = 0; i < rows; i++) data[i * columns + firstRow + i] += factor * diagonal;
        return { firstRow, rows, columns, data };
      },
    });
  const a0 = await make(weight, u, 1, noise);
  const c0 = await make(1 / (weight * noise), scaled, -1, 1);
  let removed = 0;
  for (let i = 0; i < u.length; i++) removed += scaled[i] * u[i];
  const largest = Math.max(...symmetricEigenvalues(gram, r));
  return {
    dimension: d,
    lambda: Math.sqrt(weight * noise),
    requestedLambda: Math.sqrt(weight * noise),
    mu: Math.sqrt(weight),
    precision,
    share: shares,
    a0,
    c0,
    lambdaMin: weight * noise,
    lambdaMax: weight * (noise + largest),
    condition: 1 + largest / noise,
    meanCondition: (noise + largest / d) / noise,
    trace: (d - removed) / (weight * noise),
    bytes: a0.bytes + c0.bytes,
    dispose() {
      a0.dispose();
      c0.dispose();
    },
  };
}
