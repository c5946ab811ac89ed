import type { Vectors } from './matrix-engine.js';
import type { NativeOps } from './native-ops.js';

/** Below this a tile is so thin that its product is slow. */
const LEAST_TILE_ROWS = 32;

/** Rows of the tiles that `rows` rows are updated in: the largest divisor of them that is at most `limit`, if not tiny. */
export function tileRowsOf(rows: number, limit: number): number {
  for (let tile = Math.min(rows, Math.floor(limit)); tile >= LEAST_TILE_ROWS; tile--)
    if (rows % tile === 0) return tile;
  return rows;
}

/** Vectors as a length × count tensor. */
export function upRows(ops: NativeOps, x: Vectors): number {
  return ops.scoped((keep) => ops.transpose(keep(ops.upload(x.data, [x.count, x.length]))));
}

/** The first `length` rows of a rows × count tensor, as vectors side by side. */
export function vectorsOf(ops: NativeOps, id: number, rows: number, length: number, count: number): Float64Array {
  const side = ops.scoped((keep) => ops.download(keep(ops.transpose(id))));
  if (rows === length) return side instanceof Float64Array ? side : new Float64Array(side);
  const data = new Float64Array(length * count);
  for (let c = 0; c < count; c++) data.set(side.subarray(c * rows, c * rows + length), c * length);
  return data;
}
