import { symmetricEigenvalues } from '@errata/tensor';
import { addInto, asRows, norm } from './columns.js';
import { fixedStart, lanczosSpectrum } from './lanczos.js';
import type { LayerState } from './layer-state.js';
import type { Columns64 } from './notation.js';
import type { RlsParts } from './parts.js';

/** Share of ‖W − W₀‖² that the effective rank covers. */
const EFFECTIVE_SHARE = 0.99;
/** Up to this order a Gram matrix is made and its eigenvalues taken: well under a second. */
const EXACT_ORDER = 640;
/** Lanczos steps and starts of the estimate beyond it: the largest value to about 1 %, the rank to about a tenth. */
const STEPS = 24;
const STARTS = 2;
/** Rows of Δ looked at together. */
const ROWS = 256;

/** What the singular values of W − W₀ say. */
export interface DeltaSpectrum {
  readonly deltaNorm: number;
  readonly spectralNorm: number;
  readonly effectiveRank: number;
}

/** Blocks of rows of W − W₀, row-major. */
export async function* deltaBlocks(state: LayerState): AsyncGenerator<{ rows: number; data: Float64Array }> {
  for (let first = state.rows.start; first < state.rows.end; first += ROWS) {
    const rows = Math.min(ROWS, state.rows.end - first);
    yield { rows, data: await state.deltaRows(first, rows) };
  }
}

/**
 * Norms and effective rank of W − W₀: exact where the rank or the rows held are at most 640, from Gram matrices; beyond
 * that ‖W − W₀‖ is exact and the others are estimated by Lanczos iteration on Δ Δᵀ.
 */
export async function deltaSpectrum(parts: RlsParts, state: LayerState): Promise<DeltaSpectrum> {
  const { b, g } = state.rank + (state.start?.g.count ?? 0) <= EXACT_ORDER ? state.factors() : { b: null, g: null };
  const rows = state.heldRows;
  if (g !== null && b !== null && 2 * g.count < Math.min(rows, state.inputs))
    return fromSquares(squaresOfFactors(parts, b, g));
  if (Math.min(rows, state.inputs) <= EXACT_ORDER) return fromSquares(await squaresOfRows(parts, state));
  let squared = 0;
  for await (const { data } of deltaBlocks(state)) squared += norm(data) ** 2;
  const points = [];
  for (let seed = 0; seed < STARTS; seed++)
    for (const point of await lanczosSpectrum(rows, STEPS, fixedStart(rows, seed), async (data) => {
      const back = await state.changeTransposeTimes({ length: rows, count: 1, data });
      addStart(state, data, back.data);
      return (await state.deltaTimes(back)).data;
    }))
      points.push({ value: Math.max(0, point.value), count: (rows * point.share) / STARTS });
  points.sort((x, y) => y.value - x.value);
  const total = points.reduce((sum, p) => sum + p.value * p.count, 0);
  let covered = 0;
  let rank = 0;
  for (const { value, count } of points) {
    const wanted = EFFECTIVE_SHARE * total - covered;
    if (wanted <= 0) break;
    rank += value * count <= wanted ? count : wanted / value;
    covered += value * count;
  }
  return {
    deltaNorm: Math.sqrt(squared),
    spectralNorm: Math.sqrt(points[0].value),
    effectiveRank: Math.max(1, Math.round(rank)),
  };
}

/** The start's part of Δᵀ y. */
function addStart(state: LayerState, y: Float64Array, into: Float64Array): void {
  const { start } = state;
  if (start === null) return;
  for (let j = 0; j < start.g.count; j++) {
    let along = 0;
    for (let i = 0; i < y.length; i++) along += start.b.data[j * y.length + i] * y[i];
    for (let i = 0; i < into.length; i++) into[i] += along * start.g.data[j * into.length + i];
  }
}

function fromSquares(squares: Float64Array): DeltaSpectrum {
  const total = squares.reduce((sum, s) => sum + Math.max(0, s), 0);
  let effectiveRank = 0;
  for (let i = squares.length - 1, covered = 0; i >= 0 && covered < EFFECTIVE_SHARE * total; i--) {
    covered += Math.max(0, squares[i]);
    effectiveRank++;
  }
  const spectralNorm = Math.sqrt(Math.max(0, squares[squares.length - 1]));
  return { deltaNorm: Math.sqrt(total), spectralNorm, effectiveRank };
}

/** Squared singular values of Δ, ascending, from Δ Δᵀ or Δᵀ Δ, whichever is smaller. */
async function squaresOfRows({ linalg }: RlsParts, state: LayerState): Promise<Float64Array> {
  const d = state.inputs;
  const rows = state.heldRows;
  if (rows <= d) {
    const all = { rows, columns: d, data: await state.deltaRows(state.rows.start, rows) };
    return symmetricEigenvalues(linalg.matmul(all, all, { transposeB: true }), rows);
  }
  const gram = new Float64Array(d * d);
  for await (const { rows: count, data } of deltaBlocks(state)) {
    const block = { rows: count, columns: d, data };
    addInto(gram, linalg.matmul(block, block, { transposeA: true }));
  }
  return symmetricEigenvalues(gram, d);
}

/** The same through the factors, r × r: eigenvalues of Lᵀ BᵀB L with L Lᵀ = GᵀG. */
function squaresOfFactors({ linalg }: RlsParts, b: Columns64, g: Columns64): Float64Array {
  const r = g.count;
  const gram = (columns: Columns64) => linalg.matmul(asRows(columns), asRows(columns), { transposeB: true });
  const gg = gram(g);
  let trace = 0;
  for (let i = 0; i < r; i++) trace += gg[i * r + i];
  // A revoked column leaves two parallel ones; the shift keeps the factorisation going and moves σ by 1e-6 at most.
  for (let i = 0; i < r; i++) gg[i * r + i] += 1e-12 * trace;
  const l = { rows: r, columns: r, data: linalg.cholesky(gg, r) };
  const half = {
    rows: r,
    columns: r,
    data: linalg.matmul(l, { rows: r, columns: r, data: gram(b) }, { transposeA: true }),
  };
  return symmetricEigenvalues(linalg.matmul(half, l), r);
}
