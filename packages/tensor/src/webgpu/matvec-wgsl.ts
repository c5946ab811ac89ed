import { type ProductMode, productBindings, productParams } from './product-wgsl.js';

/** Columns that a workgroup of the product with one vector goes through. */
export const matvecColumns = 1024;

const rowsAtOnce = 8;
const each = (line: (i: number) => string) => Array.from({ length: rowsAtOnce }, (_, i) => line(i)).join('\n');

/**
 * Kernel of the product with one vector, which reads every stored element once: a workgroup goes through 128 rows × 1024
 * columns. Sums along rows go to slot = chunk of columns, sums along columns to slot = `p.slot` + grain; slots that a
 * workgroup does not reach are expected to hold zeros.
 */
export function matvecKernel(mode: ProductMode): string {
  const forward = mode !== 'transposed';
  const transposed = mode !== 'forward';
  return `${productParams}${productBindings}
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
var<workgroup> xs: array<f32, 128>;
var<workgroup> dots: array<f32, ${rowsAtOnce * 256}>;
var<workgroup> sums: array<f32, 256>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) t: u32) {
  let grain = grains[wg.y];
  if (grain.w == 0u || wg.x * 256u >= grain.y) { return; }
  let rows = min(128u, p.rows - wg.y * 128u);
  let column = wg.x * 256u + t;
  let inside = column < grain.y;
  ${transposed ? 'if (t < rows) { let row = wg.y * 128u + t; xs[t] = x[row / 4u][row % 4u]; }' : ''}
  ${forward ? 'var c = vec4f(0); if (inside) { c = x[column]; }' : ''}
  workgroupBarrier();
  var below = vec4f(0);
  for (var r0 = 0u; r0 < rows; r0 += ${rowsAtOnce}u) {
    ${each(
      (i) => `{
      let r = r0 + ${i}u;
      var v = vec4f(0);
      if (inside && r < rows) {
        v = m[grain.x + r * grain.y + column];
        ${transposed ? 'below = fma(vec4f(xs[r]), v, below);' : ''}
      }
      ${forward ? `dots[${i * 256}u + t] = dot(v, c);` : ''}
    }`,
    )}
    ${
      forward
        ? `workgroupBarrier();
    let at = (t / 32u) * 256u + t % 32u;
    var sum = 0.0;
    for (var i = 0u; i < 256u; i += 32u) { sum += dots[at + i]; }
    sums[t] = sum;
    workgroupBarrier();
    if (t < ${rowsAtOnce}u && r0 + t < rows) {
      var total = 0.0;
      for (var i = 0u; i < 32u; i++) { total += sums[t * 32u + i]; }
      out[wg.x * p.outStride * 4u + wg.y * 128u + r0 + t] = total;
    }`
        : ''
    }
  }
  ${
    transposed
      ? `if (inside && column * 4u < grain.z) {
    let at = ((p.slot + wg.y) * p.outStride + column) * 4u;
    out[at] = below.x; out[at + 1u] = below.y; out[at + 2u] = below.z; out[at + 3u] = below.w;
  }`
      : ''
  }
}`;
}
