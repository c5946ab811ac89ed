import { type LinearAlgebra, largestEigenvalue, symmetricEigenvalues } from '@errata/tensor';
import { asRows, inner, norm } from './columns.js';
import type { FactoredState } from './factored-state.js';

/** Share of ‖W − W₀‖² that the effective rank covers. */
const EFFECTIVE_SHARE = 0.99;

/** Drift of a layer at one state. */
export interface StateStats {
  /** ‖W − W₀‖, Frobenius. */
  readonly deltaNorm: number;
  /** ‖V − W₀K of the columns in the weights‖ / (2 √λ_min(A₀)): never below deltaNorm. */
  readonly deltaBound: number;
  /** ‖(W − W₀) K₀‖, Frobenius. */
  readonly anchorDeviation: number;
  readonly rank: number;
  /** Fewest singular values of W − W₀ with 99 % of its squared norm. */
  readonly effectiveRank: number;
  /** λ_max(A) / λ_min(A) of the present A = C⁻¹. */
  readonly conditionEstimate: number;
  /** log det C₀ − log det C. */
  readonly information: number;
  /** Largest singular value of W − W₀. */
  readonly spectralNorm: number;
}

/** Squared singular values of Δ (dₒ × d row-major), ascending. */
function squaredSingularValues(linalg: LinearAlgebra, delta: Float64Array, outputs: number, inputs: number) {
  const operand = { rows: outputs, columns: inputs, data: delta };
  const small = Math.min(outputs, inputs);
  const wide = outputs <= inputs;
  const gram = linalg.matmul(operand, operand, { transposeA: !wide, transposeB: wide });
  return symmetricEigenvalues(gram, small);
}

/** The same through the factors, r × r: eigenvalues of Lᵀ BᵀB L with L Lᵀ = GᵀG. */
function squaredSingularValuesOfFactors(linalg: LinearAlgebra, state: FactoredState): Float64Array {
  const r = state.rank;
  const stack = (pick: 'g' | 'b') => {
    const parts = state.segments.map((s) => s[pick]);
    const data = new Float64Array(parts.reduce((sum, p) => sum + p.data.length, 0));
    let at = 0;
    for (const part of parts) {
      data.set(part.data, at);
      at += part.data.length;
    }
    return { length: parts[0].length, count: r, data };
  };
  const gram = (pick: 'g' | 'b') => {
    const rows = asRows(stack(pick));
    return linalg.matmul(rows, rows, { transposeB: true });
  };
  const gg = gram('g');
  let trace = 0;
  for (let i = 0; i < r; i++) trace += gg[i * r + i];
  // A revoked column leaves two parallel ones; the shift keeps the factorisation going and moves σ by 1e-6 at most.
  for (let i = 0; i < r; i++) gg[i * r + i] += 1e-12 * trace;
  const l = { rows: r, columns: r, data: linalg.cholesky(gg, r) };
  const bb = { rows: r, columns: r, data: gram('b') };
  const half = { rows: r, columns: r, data: linalg.matmul(l, bb, { transposeA: true }) };
  return symmetricEigenvalues(linalg.matmul(half, l), r);
}

function conditionOf(linalg: LinearAlgebra, state: FactoredState): number {
  const d = state.inputs;
  const { keys } = state.survivors();
  const inverseLargest = largestEigenvalue(d, (x) => state.inverseTimes({ length: d, count: 1, data: x }).data);
  const largest = largestEigenvalue(d, (x) => {
    const column = { rows: d, columns: 1, data: x };
    const y = linalg.matmul(state.inverse.a0, column);
    if (keys.count === 0) return y;
    const along = linalg.matmul(asRows(keys), column);
    const back = linalg.matmul(asRows(keys), { rows: keys.count, columns: 1, data: along }, { transposeA: true });
    return y.map((v, i) => v + back[i]);
  });
  return largest * inverseLargest;
}

/** ‖ΔK₀‖ from A₀ = λ²I + μ²K₀K₀ᵀ: μ²‖ΔK₀‖² = tr(Δ A₀ Δᵀ) − λ²‖Δ‖². */
function anchorDeviation(linalg: LinearAlgebra, state: FactoredState, delta: Float64Array): number {
  const { mu, lambda, a0 } = state.inverse;
  if (mu === 0) return 0;
  const through = linalg.matmul({ rows: state.outputs, columns: state.inputs, data: delta }, a0);
  const squared = inner(through, delta) - lambda ** 2 * inner(delta, delta);
  return Math.sqrt(Math.max(0, squared)) / mu;
}

/** Measures the drift of a state. */
export function measureState(linalg: LinearAlgebra, state: FactoredState): StateStats {
  const { rank, inputs, outputs } = state;
  const stackedResidual = norm(state.survivors().baseResidual.data);
  const deltaBound = stackedResidual / (2 * Math.sqrt(state.inverse.lambdaMin));
  if (rank === 0)
    return {
      deltaNorm: 0,
      deltaBound,
      anchorDeviation: 0,
      rank,
      effectiveRank: 0,
      conditionEstimate: state.inverse.condition,
      information: 0,
      spectralNorm: 0,
    };
  const delta = state.delta();
  const squares =
    2 * rank < Math.min(inputs, outputs)
      ? squaredSingularValuesOfFactors(linalg, state)
      : squaredSingularValues(linalg, delta, outputs, inputs);
  const total = squares.reduce((sum, s) => sum + Math.max(0, s), 0);
  let effectiveRank = 0;
  for (let i = squares.length - 1, covered = 0; i >= 0 && covered < EFFECTIVE_SHARE * total; i--) {
    covered += Math.max(0, squares[i]);
    effectiveRank++;
  }
  return {
    deltaNorm: norm(delta),
    deltaBound,
    anchorDeviation: anchorDeviation(linalg, state, delta),
    rank,
    effectiveRank,
    conditionEstimate: conditionOf(linalg, state),
    information: state.information,
    spectralNorm: Math.sqrt(Math.max(0, squares[squares.length - 1])),
  };
}
