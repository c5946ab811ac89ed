import { setImmediate } from 'node:timers/promises';
import { checkFinite, TensorError } from './errors.js';
import { transpose64 } from './f64-matmul.js';
import type { LinearAlgebra } from './linear-algebra.js';
import { type Panel, panelRowsOf, type SymmetricSpec } from './matrix-engine.js';
import { filePanels, memoryPanels, type PanelStore } from './panel-store.js';
import { checkPanel, heldPanels, mirrorDiagonal, type PanelPlace } from './panels.js';

export interface InvertOptions {
  /** Where the panels lie meanwhile and afterwards: d²/2 doubles in memory (default), or a file in a scratch folder. */
  readonly storage?: 'memory' | { readonly folder: string };
  readonly signal?: AbortSignal;
  /** After each panel eliminated. */
  onProgress?(done: number, total: number): void;
}

/** The inverse, as fp64 panels of its lower part. Owned by its creator until `dispose`. */
export interface SymmetricInverse {
  readonly dimension: number;
  readonly panelRows: number;
  readonly trace: number;
  /** A copy of panel p, rows p · panelRows on. */
  panel(p: number): Promise<Panel & { readonly data: Float64Array }>;
  dispose(): Promise<void>;
}

/** Bytes of the panels of an inversion: d²/2 doubles and the half of the diagonal tiles. */
export function inversionBytes(dimension: number): number {
  return heldPanels(dimension).reduce(
    (sum, { rows, columns }) => sum + rows * columns * Float64Array.BYTES_PER_ELEMENT,
    0,
  );
}

/** Puts a tile at a column of the panel, or subtracts it from what is there. */
function put(data: Float64Array, place: PanelPlace, column: number, tile: Float64Array, mode: 'subtract' | 'replace') {
  const width = tile.length / place.rows;
  for (let i = 0; i < place.rows; i++) {
    const to = i * place.columns + column;
    const from = i * width;
    if (mode === 'replace') data.set(tile.subarray(from, from + width), to);
    else for (let j = 0; j < width; j++) data[to + j] -= tile[from + j];
  }
}

function tileOf(data: Float64Array, place: PanelPlace, column: number, width: number): Float64Array {
  const tile = new Float64Array(place.rows * width);
  for (let i = 0; i < place.rows; i++)
    tile.set(data.subarray(i * place.columns + column, i * place.columns + column + width), i * width);
  return tile;
}

/** The factor of a diagonal block. @throws TensorError ILL_CONDITIONED naming the pivot of the whole matrix */
function pivotFactor(linalg: LinearAlgebra, block: Float64Array, { firstRow, rows }: PanelPlace, dimension: number) {
  try {
    return linalg.cholesky(block, rows);
  } catch (error) {
    if (!(error instanceof TensorError) || error.code !== 'ILL_CONDITIONED') throw error;
    throw new TensorError(
      'ILL_CONDITIONED',
      `the ${dimension} × ${dimension} matrix is not numerically positive definite; within rows ${firstRow} to ${firstRow + rows - 1}: ${error.message}`,
      { cause: error },
    );
  }
}

/**
 * One step of the block sweep (Beaton 1964; Goodnight 1979): with A_kk = R Rᵀ and G = A[:, k] R⁻ᵀ, the other panels
 * lose G Gᵀ, block column k becomes G R⁻¹ and A_kk becomes −A_kk⁻¹. After all steps −A⁻¹ is left in place of A.
 */
async function sweep(linalg: LinearAlgebra, store: PanelStore, places: readonly PanelPlace[], k: number) {
  const pivot = places[k];
  const b = pivot.rows;
  const own = await store.load(k);
  const r = pivotFactor(linalg, tileOf(own, pivot, pivot.firstRow, b), pivot, places[places.length - 1].columns);
  const solve = (rhs: Float64Array, columns: number, transpose: boolean) =>
    linalg.solveLower(r, rhs, b, columns, transpose);

  // Gᵀ by blocks, b × rows each: R⁻¹ A_kj.
  const factors: Float64Array[] = [];
  for (let j = 0; j < places.length; j++) {
    const { firstRow, rows } = places[j];
    if (j < k) factors.push(solve(tileOf(own, pivot, firstRow, rows), rows, false));
    else if (j === k) factors.push(new Float64Array(0));
    else
      factors.push(solve(transpose64(tileOf(await store.load(j), places[j], pivot.firstRow, b), rows, b), rows, false));
  }
  const residents = factors.map((f, j) => (f.length === 0 ? null : linalg.upload(f, b, places[j].rows)));
  try {
    for (let i = 0; i < places.length; i++) {
      const place = places[i];
      const data = i === k ? own : await store.load(i);
      for (let j = 0; j <= i && i !== k; j++) {
        const [left, right] = [residents[i], residents[j]];
        if (left === null || right === null) continue;
        put(data, place, places[j].firstRow, linalg.matmul(left, right, { transposeA: true }), 'subtract');
      }
      if (i > k)
        put(data, place, pivot.firstRow, transpose64(solve(factors[i], place.rows, true), b, place.rows), 'replace');
      if (i === k) {
        for (let j = 0; j < k; j++)
          put(data, place, places[j].firstRow, solve(factors[j], places[j].rows, true), 'replace');
        put(
          data,
          place,
          pivot.firstRow,
          linalg.invertFromCholesky(r, b).map((v) => -v),
          'replace',
        );
      }
      mirrorDiagonal(data, place);
      await store.save(i, data);
    }
  } finally {
    for (const resident of residents) resident?.dispose();
  }
}

/**
 * A⁻¹ of a symmetric positive definite matrix in fp64, panel by panel and in place: about d³ operations, d²/2 doubles in
 * memory or in a scratch file, and besides them two block columns. Gives the event loop a turn after every panel.
 *
 * @param parts what computes, see {@link LinearAlgebra}
 * @param spec the matrix, given by lower panels as for `MatrixEngine.symmetric`
 * @throws TensorError ILL_CONDITIONED naming the pivot, INVALID_TENSOR, OUT_OF_MEMORY; the signal's reason when aborted
 */
export async function invertSymmetric(
  parts: { readonly linalg: LinearAlgebra },
  spec: Pick<SymmetricSpec, 'dimension' | 'fill'>,
  options: InvertOptions = {},
): Promise<SymmetricInverse> {
  const { dimension } = spec;
  const { storage = 'memory', signal } = options;
  const places = heldPanels(dimension);
  const store = storage === 'memory' ? memoryPanels(places) : await filePanels(places, storage.folder);
  const turn = async () => {
    signal?.throwIfAborted();
    await setImmediate();
    signal?.throwIfAborted();
  };
  try {
    for (const [i, place] of places.entries()) {
      const panel = await spec.fill(place.firstRow, place.rows);
      checkPanel(panel, place);
      const data = new Float64Array(panel.data);
      mirrorDiagonal(data, place);
      await store.save(i, data);
      await turn();
    }
    for (let k = 0; k < places.length; k++) {
      await sweep(parts.linalg, store, places, k);
      options.onProgress?.(k + 1, places.length);
      await turn();
    }
    const trace = await finish(store, places);
    return {
      dimension,
      panelRows: panelRowsOf(dimension),
      trace,
      async panel(p) {
        if (places[p] === undefined)
          throw new TensorError('INVALID_TENSOR', `panel ${p} of a matrix of ${places.length} panels`);
        return { ...places[p], data: (await store.load(p)).slice() };
      },
      dispose: () => store.dispose(),
    };
  } catch (error) {
    await store.dispose();
    throw error;
  }
}

/** Turns −A⁻¹ into A⁻¹ and sums its diagonal. */
async function finish(store: PanelStore, places: readonly PanelPlace[]): Promise<number> {
  let trace = 0;
  for (const [index, place] of places.entries()) {
    const data = await store.load(index);
    for (let i = 0; i < data.length; i++) data[i] = -data[i];
    checkFinite(`inverse, panel at row ${place.firstRow}`, data);
    for (let i = 0; i < place.rows; i++) trace += data[i * place.columns + place.firstRow + i];
    await store.save(index, data);
  }
  return trace;
}
