import { addInto, inner, norm } from './columns.js';
import { conditionOf } from './condition.js';
import { fixedStart } from './lanczos.js';
import type { LayerState } from './layer-state.js';
import type { Columns64 } from './notation.js';
import type { RlsParts } from './parts.js';
import { deltaSpectrum } from './spectrum.js';
import { baseResidualsOf, keysOf } from './survivors.js';

/** Columns whose part of the anchor deviation is added up; beyond, as many are drawn evenly. */
const ANCHOR_COLUMNS = 1024;
const BLOCK = 256;

/** Drift of a layer at one state, or of the rows held. */
export interface StateStats {
  /** ‖W − W₀‖, Frobenius. */
  readonly deltaNorm: number;
  /** ‖V − W₀K of the columns in the weights‖ / (2 √λ_min(A₀)), more by ‖the start − W₀‖: never below deltaNorm. */
  readonly deltaBound: number;
  /** deltaNorm / deltaBound; 0 for an empty state. */
  readonly boundShare: number;
  /** ‖(W − its start) K₀‖, Frobenius. */
  readonly anchorDeviation: number;
  readonly rank: number;
  /** Fewest singular values of W − W₀ with 99 % of its squared norm. */
  readonly effectiveRank: number;
  /** λ_max(A) / λ_min(A) of A = C⁻¹, as of up to 16 columns before (`conditionOf`); that of A₀ where only a share of C is held. */
  readonly conditionEstimate: number;
  /** log det C₀ − log det C. */
  readonly information: number;
  /** tr C / tr C₀: share of the freedom of the keys that is left. */
  readonly capacityLeft: number;
  /** Root mean square of ‖(W − its start) k‖ / ‖k‖ over the keys k in the weights: the change along what was edited. */
  readonly editedNorm: number;
  /** Largest singular value of W − W₀. */
  readonly spectralNorm: number;
  /** λ_min(S) of the last batch put in, λ_min(T) of the last taken out; 1 where there is none. */
  readonly lambdaMinS: number;
  readonly lambdaMinT: number;
  /** |xᵀCy − yᵀCx| relative to ‖Cx‖‖y‖ + ‖Cy‖‖x‖, of fixed x and y: C is symmetric as stored, this is its products' error. */
  readonly symmetryError: number;
}

/** What Δ does to the anchor, and to the keys in the weights. */
interface Moves {
  readonly anchorDeviation: number;
  readonly editedNorm: number;
}

/**
 * ‖ΔK₀‖ from A₀ = λ²I + μ²K₀K₀ᵀ: μ²‖ΔK₀‖² = tr(Δ A₀ Δᵀ) − λ²‖Δ‖², and at the minimum Δ A₀ = Σ E Kᵀ with E = V − W K of
 * the columns in the weights, so tr(Δ A₀ Δᵀ) = Σ ⟨Δ k, e⟩. Of more than 1,024 columns as many are drawn evenly.
 */
async function moves(state: LayerState): Promise<Moves> {
  const { mu, lambda } = state.inverse;
  const all = state.columns();
  if (all.length === 0) return { anchorDeviation: 0, editedNorm: 0 };
  const stride = Math.ceil(all.length / ANCHOR_COLUMNS);
  const drawn = all.filter((_, i) => i % stride === 0);
  let along = 0;
  let relative = 0;
  for (let at = 0; at < drawn.length; at += BLOCK) {
    const block = drawn.slice(at, at + BLOCK);
    const keys = keysOf(block, state.inputs);
    const moved = (await state.changeTimes(keys)).data;
    const rows = state.heldRows;
    for (let j = 0; j < block.length; j++) {
      const size = norm(keys.data.subarray(j * keys.length, (j + 1) * keys.length));
      if (size > 0) relative += (norm(moved.subarray(j * rows, (j + 1) * rows)) / size) ** 2;
    }
    const residual = addInto(baseResidualsOf(block, state.heldRows).data, moved, -1);
    along += inner(moved, residual);
  }
  const editedNorm = Math.sqrt(relative / drawn.length);
  if (mu === 0) return { anchorDeviation: 0, editedNorm };
  let ridge = 0;
  if (lambda > 0)
    for (let first = state.rows.start; first < state.rows.end; first += BLOCK)
      ridge += norm(await state.changeRows(first, Math.min(BLOCK, state.rows.end - first))) ** 2;
  const squared = (along * all.length) / drawn.length - lambda ** 2 * ridge;
  return { anchorDeviation: Math.sqrt(Math.max(0, squared)) / mu, editedNorm };
}

async function symmetryError(state: LayerState): Promise<number> {
  const length = state.inputs;
  const [x, y] = [1, 2].map((seed): Columns64 => ({ length, count: 1, data: fixedStart(length, seed) }));
  const [cx, cy] = [await state.inverseTimes(x), await state.inverseTimes(y)];
  const size = norm(cx.data) * norm(y.data) + norm(cy.data) * norm(x.data);
  return size === 0 ? 0 : Math.abs(inner(x.data, cy.data) - inner(y.data, cx.data)) / size;
}

/** Norm of all V − W₀K in the weights. */
function stackedResidual(state: LayerState): number {
  let squared = 0;
  for (const { baseResidual, active } of state.segments)
    if (baseResidual !== null)
      active.forEach((is, j) => {
        const { length, data } = baseResidual;
        if (is) for (let i = j * length; i < (j + 1) * length; i++) squared += data[i] ** 2;
      });
  return Math.sqrt(squared);
}

function startNorm(state: LayerState): number {
  const { start } = state;
  if (start === null) return 0;
  let squared = 0;
  const { b, g } = start;
  for (let i = 0; i < b.count; i++)
    for (let j = 0; j < b.count; j++) squared += columnProduct(b, i, j) * columnProduct(g, i, j);
  return Math.sqrt(Math.max(0, squared));
}

function columnProduct({ length, data }: Columns64, i: number, j: number): number {
  return inner(data.subarray(i * length, (i + 1) * length), data.subarray(j * length, (j + 1) * length));
}

/**
 * Measures the drift of a state. No d³ and no rank² d: what is exact and what is an estimate is said at the fields'
 * sources. Costs a few batches.
 */
export async function measureState(parts: RlsParts, state: LayerState): Promise<StateStats> {
  const { rank, inverse } = state;
  const deltaBound = stackedResidual(state) / (2 * Math.sqrt(inverse.lambdaMin)) + startNorm(state);
  const moved = rank > 0 || state.start !== null;
  const spectrum = moved ? await deltaSpectrum(parts, state) : { deltaNorm: 0, spectralNorm: 0, effectiveRank: 0 };
  const last = (sign: 1 | -1) => state.segments.findLast((s) => s.sign === sign)?.lambdaMin ?? 1;
  return {
    ...spectrum,
    deltaBound,
    boundShare: deltaBound === 0 ? 0 : spectrum.deltaNorm / deltaBound,
    ...(await moves(state)),
    rank,
    conditionEstimate: await conditionOf(parts, state),
    information: state.information,
    capacityLeft: state.trace / inverse.trace,
    lambdaMinS: last(1),
    lambdaMinT: last(-1),
    symmetryError: await symmetryError(state),
  };
}

/**
 * The layer's figures from those of its row ranges: norms add in squares, the spectral norm is its upper bound (the root
 * of the sum of squares), the effective rank the largest of the ranges', what concerns C the worst of any.
 */
export function mergeStats(stats: readonly StateStats[]): StateStats {
  const root = (pick: (s: StateStats) => number) => Math.sqrt(stats.reduce((sum, s) => sum + pick(s) ** 2, 0));
  const most = (pick: (s: StateStats) => number) => Math.max(...stats.map(pick));
  const deltaNorm = root((s) => s.deltaNorm);
  const deltaBound = root((s) => s.deltaBound);
  return {
    deltaNorm,
    deltaBound,
    boundShare: deltaBound === 0 ? 0 : deltaNorm / deltaBound,
    anchorDeviation: root((s) => s.anchorDeviation),
    rank: most((s) => s.rank),
    effectiveRank: most((s) => s.effectiveRank),
    conditionEstimate: most((s) => s.conditionEstimate),
    information: most((s) => s.information),
    capacityLeft: Math.min(...stats.map((s) => s.capacityLeft)),
    editedNorm: root((s) => s.editedNorm),
    spectralNorm: root((s) => s.spectralNorm),
    lambdaMinS: Math.min(...stats.map((s) => s.lambdaMinS)),
    lambdaMinT: Math.min(...stats.map((s) => s.lambdaMinT)),
    symmetryError: most((s) => s.symmetryError),
  };
}
