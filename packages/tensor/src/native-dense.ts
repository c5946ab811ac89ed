import { checkFinite } from './errors.js';
import type { DenseMatrix, Precision } from './matrix-engine.js';
import { checkMemory } from './memory.js';
import type { NativeOps } from './native-ops.js';
import { tileRowsOf, upRows, vectorsOf } from './native-tiles.js';
import { bytesPer, checkRows, checkUpdate, checkVectors, disposed } from './panels.js';

const PANEL_ROWS = 512;
/** Rows updated at once: the product that is added stays in the last-level cache. */
const TILE_ROWS = 128;

interface RowPanel {
  readonly first: number;
  readonly rows: number;
  readonly id: number;
}

function denseOf(
  ops: NativeOps,
  [rows, columns]: readonly [number, number],
  precision: Precision,
  given: readonly RowPanel[],
): DenseMatrix {
  let held: readonly RowPanel[] | null = given;
  const panels = () => {
    if (held === null) throw disposed();
    return held;
  };
  const bytes = rows * columns * bytesPer(precision);
  return {
    rows,
    columns,
    precision,
    bytes,
    async times(x) {
      checkVectors('product', x, columns);
      const own = panels();
      const out = { length: rows, count: x.count, data: new Float64Array(rows * x.count) };
      if (x.count === 0) return out;
      ops.scoped((keep) => {
        const right = keep(upRows(ops, x));
        for (const panel of own) {
          const part = ops.scoped((keepHere) =>
            vectorsOf(ops, keepHere(ops.matmul(panel.id, right, false, false)), panel.rows, panel.rows, x.count),
          );
          for (let c = 0; c < x.count; c++)
            out.data.set(part.subarray(c * panel.rows, (c + 1) * panel.rows), c * rows + panel.first);
        }
      });
      checkFinite('product', out.data);
      return out;
    },
    async transposeTimes(y) {
      checkVectors('product', y, rows);
      const own = panels();
      if (y.count === 0) return { length: columns, count: 0, data: new Float64Array(0) };
      const data = ops.scoped((keep) => {
        const right = keep(upRows(ops, y));
        const sum = keep(ops.zeros([1, y.count * columns]));
        for (const panel of own)
          ops.scoped((keepHere) => {
            const some = keepHere(ops.rows(right, panel.first, panel.rows, [rows, y.count]));
            const part = keepHere(ops.matmul(some, panel.id, true, false));
            ops.addInPlace(sum, 0, 1, keepHere(ops.reshape(part, [1, y.count * columns])));
          });
        return new Float64Array(ops.download(sum));
      });
      checkFinite('product', data);
      return { length: columns, count: y.count, data };
    },
    async addOuter(b, g) {
      checkVectors('outer product, left', b, rows);
      checkVectors('outer product, right', g, columns, b.count);
      checkUpdate(precision, b, g, null);
      const own = panels();
      if (b.count === 0) return;
      ops.scoped((keep) => {
        const left = keep(upRows(ops, b));
        const right = keep(ops.upload(g.data, [g.count, columns]));
        for (const panel of own)
          ops.scoped((keepHere) => {
            const tileRows = tileRowsOf(panel.rows, TILE_ROWS);
            const length = tileRows * columns;
            const tiles = keepHere(ops.reshape(panel.id, [panel.rows / tileRows, length]));
            for (let t = 0; t < panel.rows / tileRows; t++)
              ops.scoped((keepTile) => {
                const some = keepTile(ops.rows(left, panel.first + t * tileRows, tileRows, [rows, b.count]));
                const outer = keepTile(ops.matmul(some, right, false, false));
                ops.addInPlace(tiles, t, 1, keepTile(ops.reshape(outer, [1, length])));
              });
          });
      });
    },
    async copy() {
      const own = panels();
      checkMemory(`a copy of a ${rows} × ${columns} matrix`, bytes);
      return denseOf(
        ops,
        [rows, columns],
        precision,
        own.map((panel) => ({ ...panel, id: ops.copy(panel.id) })),
      );
    },
    async readRows(first, count) {
      checkRows(first, count, rows);
      const out = new Float64Array(count * columns);
      for (const panel of panels()) {
        const from = Math.max(first, panel.first);
        const to = Math.min(first + count, panel.first + panel.rows);
        if (from >= to) continue;
        const part = ops.scoped((keep) =>
          ops.download(keep(ops.rows(panel.id, from - panel.first, to - from, [panel.rows, columns]))),
        );
        out.set(part, (from - first) * columns);
      }
      return out;
    },
    dispose() {
      for (const panel of held ?? []) ops.free(panel.id);
      held = null;
    },
  };
}

/** A matrix of zeros as TensorFlow tensors, in panels of rows. */
export function nativeZeros(ops: NativeOps, rows: number, columns: number, precision: Precision): DenseMatrix {
  checkMemory(`a ${rows} × ${columns} matrix`, rows * columns * bytesPer(precision));
  const panels: RowPanel[] = [];
  for (let first = 0; first < rows; first += PANEL_ROWS) {
    const some = Math.min(PANEL_ROWS, rows - first);
    panels.push({ first, rows: some, id: ops.zeros([some, columns]) });
  }
  return denseOf(ops, [rows, columns], precision, panels);
}
