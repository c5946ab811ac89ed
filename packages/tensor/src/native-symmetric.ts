import { checkFinite } from './errors.js';
import { type Panel, panelRowsOf, type SymmetricMatrix, type SymmetricSpec, type Vectors } from './matrix-engine.js';
import { checkMemory } from './memory.js';
import type { NativeOps } from './native-ops.js';
import { tileRowsOf, upRows, vectorsOf } from './native-tiles.js';
import {
  allocate,
  bytesPer,
  checkFactors,
  checkPanel,
  checkUpdate,
  checkVectors,
  disposed,
  heldPanels,
  mirrorDiagonal,
  type PanelPlace,
  WHOLE,
} from './panels.js';

/** Rows updated at once, as a share of all: the product that is added lies in memory beside the matrix meanwhile. */
const TILE_SHARE = 1 / 16;

type Spec = Pick<SymmetricSpec, 'dimension' | 'precision' | 'share'>;

/** A panel as two tensors, so that no product needs a slice of columns. */
interface NativePanel {
  readonly place: PanelPlace;
  /** rows × rows, symmetric. */
  readonly diagonal: number;
  /** rows × firstRow; null in the first panel. */
  readonly left: number | null;
}

function uploadPanel(ops: NativeOps, place: PanelPlace, data: Float64Array | Float32Array): NativePanel {
  const { firstRow, rows, columns } = place;
  const diagonal = new Float64Array(rows * rows);
  for (let i = 0; i < rows; i++) diagonal.set(data.subarray(i * columns + firstRow, (i + 1) * columns), i * rows);
  mirrorDiagonal(diagonal, { firstRow: 0, rows, columns: rows });
  if (firstRow === 0) return { place, diagonal: ops.upload(diagonal, [rows, rows]), left: null };
  const left = data instanceof Float64Array ? new Float64Array(rows * firstRow) : new Float32Array(rows * firstRow);
  for (let i = 0; i < rows; i++) left.set(data.subarray(i * columns, i * columns + firstRow), i * firstRow);
  return { place, diagonal: ops.upload(diagonal, [rows, rows]), left: ops.upload(left, [rows, firstRow]) };
}

function freePanel(ops: NativeOps, panel: NativePanel): void {
  ops.free(panel.diagonal);
  if (panel.left !== null) ops.free(panel.left);
}

function readPanel(ops: NativeOps, { place, diagonal, left }: NativePanel, spec: Spec): Panel {
  const { firstRow, rows, columns } = place;
  const data = allocate(spec.precision, rows * columns);
  const [onDiagonal, besides] = [ops.download(diagonal), left === null ? null : ops.download(left)];
  for (let i = 0; i < rows; i++) {
    if (besides !== null) data.set(besides.subarray(i * firstRow, (i + 1) * firstRow), i * columns);
    data.set(onDiagonal.subarray(i * rows, (i + 1) * rows), i * columns + firstRow);
  }
  return { ...place, data };
}

/**
 * The product, gathered in blocks of a panel's rows: each held panel adds to its own rows and, transposed, to those above.
 * Blocks are the first dimension of the sum, so that a panel's contribution is added without copying what it does not touch.
 */
function product(ops: NativeOps, spec: Spec, panels: readonly NativePanel[], x: Vectors): Float64Array {
  const { dimension } = spec;
  const u = x.count;
  const panelRows = panelRowsOf(dimension);
  const blocks = Math.ceil(dimension / panelRows);
  return ops.scoped((keep) => {
    const rows = keep(upRows(ops, x));
    const sum = keep(ops.zeros([blocks, panelRows * u]));
    for (const { place, diagonal, left } of panels) {
      const p = place.firstRow / panelRows;
      ops.scoped((keepHere) => {
        const here = keepHere(ops.rows(rows, place.firstRow, place.rows, [dimension, u]));
        let own = keepHere(ops.matmul(diagonal, here, false, false));
        if (left !== null) {
          const above = keepHere(ops.rows(rows, 0, place.firstRow, [dimension, u]));
          own = keepHere(ops.add(own, keepHere(ops.matmul(left, above, false, false))));
          const mirrored = keepHere(ops.matmul(left, here, true, false));
          ops.addInPlace(sum, 0, p, keepHere(ops.reshape(mirrored, [p, panelRows * u])));
        }
        const whole = place.rows === panelRows;
        const target = whole ? sum : keepHere(ops.reshape(sum, [blocks * panelRows, u]));
        if (whole) ops.addInPlace(target, p, 1, keepHere(ops.reshape(own, [1, panelRows * u])));
        else ops.addInPlace(target, place.firstRow, place.rows, own);
      });
    }
    const flat = keep(ops.reshape(sum, [blocks * panelRows, u]));
    return vectorsOf(ops, flat, blocks * panelRows, dimension, u);
  });
}

/** Adds G F Gᵀ (F diagonal) to the panels in place, a tile of rows at a time. */
function update(ops: NativeOps, panels: readonly NativePanel[], g: Vectors, factors: readonly number[]): void {
  const { length: dimension, count: u } = g;
  ops.scoped((keep) => {
    const rows = keep(upRows(ops, g));
    const weighted = keep(ops.scale(rows, factors));
    for (const { place, diagonal, left } of panels) {
      ops.scoped((keepHere) => {
        const here = keepHere(ops.rows(rows, place.firstRow, place.rows, [dimension, u]));
        const half = keepHere(
          ops.scale(keepHere(ops.rows(weighted, place.firstRow, place.rows, [dimension, u])), [0.5]),
        );
        // M + Mᵀ is symmetric to the last bit, which a product of two different operands need not be.
        const tile = keepHere(ops.matmul(here, half, false, true));
        const both = keepHere(ops.add(tile, keepHere(ops.transpose(tile))));
        ops.addInPlace(
          keepHere(ops.reshape(diagonal, [1, place.rows * place.rows])),
          0,
          1,
          keepHere(ops.reshape(both, [1, place.rows * place.rows])),
        );
      });
      if (left === null) continue;
      ops.scoped((keepHere) => {
        const above = keepHere(ops.rows(weighted, 0, place.firstRow, [dimension, u]));
        const tileRows = tileRowsOf(place.rows, dimension * TILE_SHARE);
        const length = tileRows * place.firstRow;
        const tiles = keepHere(ops.reshape(left, [place.rows / tileRows, length]));
        for (let t = 0; t < place.rows / tileRows; t++)
          ops.scoped((keepTile) => {
            const some = keepTile(ops.rows(rows, place.firstRow + t * tileRows, tileRows, [dimension, u]));
            const outer = keepTile(ops.matmul(some, above, false, true));
            ops.addInPlace(tiles, t, 1, keepTile(ops.reshape(outer, [1, length])));
          });
      });
    }
  });
}

function symmetricOf(ops: NativeOps, spec: Spec, given: readonly NativePanel[]): SymmetricMatrix {
  const { dimension, precision, share = WHOLE } = spec;
  let held: readonly NativePanel[] | null = given;
  const panels = () => {
    if (held === null) throw disposed();
    return held;
  };
  const bytes = given.reduce((sum, { place }) => sum + place.rows * place.columns, 0) * bytesPer(precision);
  return {
    dimension,
    precision,
    share,
    panelRows: panelRowsOf(dimension),
    bytes,
    async times(x) {
      checkVectors('product', x, dimension);
      const own = panels();
      if (x.count === 0) return { length: dimension, count: 0, data: new Float64Array(0) };
      const data = product(ops, spec, own, x);
      checkFinite('product', data);
      return { length: dimension, count: x.count, data };
    },
    async rankUpdate(g, factors) {
      checkVectors('rank update', g, dimension);
      checkFactors(factors, g.count);
      checkUpdate(precision, g, g, factors);
      const own = panels();
      if (g.count > 0) update(ops, own, g, factors);
    },
    async copy() {
      const own = panels();
      checkMemory(`a copy of a matrix of dimension ${dimension}`, bytes);
      return symmetricOf(
        ops,
        spec,
        own.map(({ place, diagonal, left }) => ({
          place,
          diagonal: ops.copy(diagonal),
          left: left === null ? null : ops.copy(left),
        })),
      );
    },
    async *panels() {
      for (let k = 0; k < given.length; k++) yield readPanel(ops, panels()[k], spec);
    },
    dispose() {
      for (const panel of held ?? []) freePanel(ops, panel);
      held = null;
    },
  };
}

/** A symmetric matrix as TensorFlow tensors. */
export async function nativeSymmetric(ops: NativeOps, spec: SymmetricSpec): Promise<SymmetricMatrix> {
  const { dimension, precision } = spec;
  const places = heldPanels(dimension, spec.share);
  const elements = places.reduce((sum, p) => sum + p.rows * p.columns, 0);
  checkMemory(`a symmetric matrix of dimension ${dimension}`, elements * bytesPer(precision));
  const panels: NativePanel[] = [];
  try {
    for (const place of places) {
      const panel = await spec.fill(place.firstRow, place.rows);
      checkPanel(panel, place, precision);
      panels.push(uploadPanel(ops, place, panel.data));
    }
  } catch (error) {
    for (const panel of panels) freePanel(ops, panel);
    throw error;
  }
  return symmetricOf(ops, spec, panels);
}
