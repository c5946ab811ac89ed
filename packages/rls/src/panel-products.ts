import type { LinearAlgebra, Panel } from '@errata/tensor';
import type { Columns64 } from './notation.js';

/** A symmetric matrix as fp64 panels of its lower part. */
export interface LowerPanels {
  readonly dimension: number;
  readonly panelRows: number;
  panel(p: number): Promise<Panel> | Panel;
}

function doubles(data: Float64Array | Float32Array): Float64Array {
  return data instanceof Float64Array ? data : new Float64Array(data);
}

/** out ← out + (the part of a panel) X, X d × n. */
function addPanel(linalg: LinearAlgebra, panel: Panel, x: Columns64, out: Float64Array): void {
  const { firstRow, rows, columns } = panel;
  const d = x.length;
  const data = doubles(panel.data);
  const slice = (from: number, to: number) => {
    const part = new Float64Array((to - from) * x.count);
    for (let j = 0; j < x.count; j++) part.set(x.data.subarray(j * d + from, j * d + to), j * (to - from));
    return { rows: x.count, columns: to - from, data: part };
  };
  const matrix = { rows, columns, data };
  const down = linalg.matmul(slice(0, columns), matrix, { transposeB: true });
  for (let j = 0; j < x.count; j++) for (let i = 0; i < rows; i++) out[j * d + firstRow + i] += down[j * rows + i];
  if (firstRow === 0) return;
  const across = linalg.matmul(slice(firstRow, columns), matrix);
  for (let j = 0; j < x.count; j++) for (let i = 0; i < firstRow; i++) out[j * d + i] += across[j * columns + i];
}

/** M X in fp64, panel by panel; X d × n. */
export async function panelsTimes(linalg: LinearAlgebra, m: LowerPanels, x: Columns64): Promise<Columns64> {
  const data = new Float64Array(x.data.length);
  for (let p = 0; p * m.panelRows < m.dimension; p++) addPanel(linalg, await m.panel(p), x, data);
  return { ...x, data };
}

/** As {@link panelsTimes}, of panels that come one after the other. */
export async function streamedTimes(
  linalg: LinearAlgebra,
  panels: AsyncIterable<Panel>,
  x: Columns64,
): Promise<Columns64> {
  const data = new Float64Array(x.data.length);
  for await (const panel of panels) addPanel(linalg, panel, x, data);
  return { ...x, data };
}

/** ‖M − expected‖ / ‖expected‖, Frobenius, over the panels of M that are given. */
export async function relativeDifference(panels: AsyncIterable<Panel>, expected: LowerPanels): Promise<number> {
  let difference = 0;
  let size = 0;
  for await (const { firstRow, columns, data } of panels) {
    const right = (await expected.panel(firstRow / expected.panelRows)).data;
    for (let i = 0; i < data.length; i++) {
      // What lies left of the diagonal tile stands for its mirror image too.
      const weight = i % columns < firstRow ? 2 : 1;
      difference += weight * (data[i] - right[i]) ** 2;
      size += weight * right[i] ** 2;
    }
  }
  return size === 0 ? 0 : Math.sqrt(difference / size);
}

/** A d × d row-major square from lower panels. */
export async function squareOf(dimension: number, panels: AsyncIterable<Panel>): Promise<Float64Array> {
  const square = new Float64Array(dimension * dimension);
  for await (const { firstRow, rows, columns, data } of panels)
    for (let i = 0; i < rows; i++)
      for (let j = 0; j <= firstRow + i; j++) {
        const value = data[i * columns + j];
        square[(firstRow + i) * dimension + j] = value;
        square[j * dimension + firstRow + i] = value;
      }
  return square;
}
