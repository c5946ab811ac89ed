import { checkLength } from './errors.js';
import { addCombination, addProducts, addTransposed } from './host-kernels.js';
import {
  type DenseMatrix,
  type Panel,
  type Precision,
  panelRowsOf,
  type SymmetricMatrix,
  type SymmetricSpec,
} from './matrix-engine.js';
import { checkMemory } from './memory.js';
import {
  allocate,
  bytesPer,
  checkFactors,
  checkPanel,
  checkRows,
  checkUpdate,
  checkVectors,
  disposed,
  heldPanels,
  mirrorDiagonal,
  WHOLE,
} from './panels.js';

function symmetricOf(
  spec: Pick<SymmetricSpec, 'dimension' | 'precision' | 'share'>,
  given: readonly Panel[],
): SymmetricMatrix {
  const { dimension, precision, share = WHOLE } = spec;
  let held: readonly Panel[] | null = given;
  const panels = () => {
    if (held === null) throw disposed();
    return held;
  };
  const bytes = given.reduce((sum, p) => sum + p.data.byteLength, 0);
  return {
    dimension,
    precision,
    share,
    panelRows: panelRowsOf(dimension),
    bytes,
    async times(x) {
      checkVectors('product', x, dimension);
      const out = { length: dimension, count: x.count, data: new Float64Array(dimension * x.count) };
      for (const p of panels()) addProducts({ ...p, stride: p.columns }, x, out, p.firstRow);
      return out;
    },
    async rankUpdate(g, factors) {
      checkVectors('rank update', g, dimension);
      checkFactors(factors, g.count);
      checkUpdate(precision, g, g, factors);
      for (const p of panels()) {
        for (let i = 0; i < p.rows; i++) {
          const at = p.firstRow + i;
          const weights = Float64Array.from(factors, (f, c) => f * g.data[c * dimension + at]);
          addCombination(p.data.subarray(i * p.columns, (i + 1) * p.columns), at + 1, weights, g);
        }
        mirrorDiagonal(p.data, p);
      }
    },
    async copy() {
      checkMemory(`a copy of a matrix of dimension ${dimension}`, bytes);
      return symmetricOf(
        spec,
        panels().map((p) => ({ ...p, data: p.data.slice() })),
      );
    },
    async *panels() {
      for (let k = 0; k < given.length; k++) {
        const p = panels()[k];
        yield { ...p, data: p.data.slice() };
      }
    },
    dispose() {
      held = null;
    },
  };
}

/** A symmetric matrix in JavaScript arrays; sums are in double precision whatever the storage. */
export async function hostSymmetric(spec: SymmetricSpec): Promise<SymmetricMatrix> {
  const { dimension, precision } = spec;
  const places = heldPanels(dimension, spec.share);
  const elements = places.reduce((sum, p) => sum + p.rows * p.columns, 0);
  checkMemory(`a symmetric matrix of dimension ${dimension}`, elements * bytesPer(precision));
  const panels: Panel[] = [];
  for (const place of places) {
    const panel = await spec.fill(place.firstRow, place.rows);
    checkPanel(panel, place, precision);
    const data = allocate(precision, place.rows * place.columns);
    data.set(panel.data);
    mirrorDiagonal(data, place);
    panels.push({ ...place, data });
  }
  return symmetricOf(spec, panels);
}

/** A dense matrix in JavaScript arrays over `given`, which it takes over. */
export function hostDense(
  rows: number,
  columns: number,
  precision: Precision,
  given: Float64Array | Float32Array,
): DenseMatrix {
  checkLength('matrix', given.length, rows, columns);
  let held: Float64Array | Float32Array | null = given;
  const matrix = () => {
    if (held === null) throw disposed();
    return held;
  };
  return {
    rows,
    columns,
    precision,
    bytes: given.byteLength,
    async times(x) {
      checkVectors('product', x, columns);
      const out = { length: rows, count: x.count, data: new Float64Array(rows * x.count) };
      addProducts({ data: matrix(), rows, stride: columns, firstRow: 0 }, x, out, 0);
      return out;
    },
    async transposeTimes(y) {
      checkVectors('product', y, rows);
      const out = { length: columns, count: y.count, data: new Float64Array(columns * y.count) };
      addTransposed(matrix(), rows, columns, y, out);
      return out;
    },
    async addOuter(b, g) {
      checkVectors('outer product, left', b, rows);
      checkVectors('outer product, right', g, columns, b.count);
      checkUpdate(precision, b, g, null);
      const data = matrix();
      for (let i = 0; i < rows; i++) {
        const weights = Float64Array.from({ length: b.count }, (_, c) => b.data[c * rows + i]);
        addCombination(data.subarray(i * columns, (i + 1) * columns), columns, weights, g);
      }
    },
    async copy() {
      checkMemory(`a copy of a ${rows} × ${columns} matrix`, given.byteLength);
      return hostDense(rows, columns, precision, matrix().slice());
    },
    async readRows(first, count) {
      checkRows(first, count, rows);
      return new Float64Array(matrix().subarray(first * columns, (first + count) * columns));
    },
    dispose() {
      held = null;
    },
  };
}
