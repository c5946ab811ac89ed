/** Which products a kernel makes of a stored matrix: both halves of a symmetric one, M X, or Mᵀ X. */
export type ProductMode = 'symmetric' | 'forward' | 'transposed';

/** Vectors that a workgroup multiplies at once. */
export type VectorTile = 32 | 64 | 128;

/** Words of the uniform buffer of the products, in order; strides in vec4. */
export const productParams = `
struct Params {
  vectors: u32, xStride: u32, outStride: u32, rows: u32,
  grains: u32, grainsPerSplit: u32, slot: u32, unused: u32,
}`;

/** An entry of the table of grains: offset in vec4, stride in vec4, columns mirrored above the diagonal, whether held. */
export const productBindings = `
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> grains: array<vec4u>;
@group(0) @binding(2) var<storage, read> m: array<vec4f>;
@group(0) @binding(3) var<storage, read> x: array<vec4f>;`;

const each = (count: number, line: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => line(i)).join('\n');

/**
 * Kernel of `vectors` × k times k × n: a workgroup makes 128 elements of `tile` vectors, 16 of k at a time, each of its
 * 256 threads 8 elements of tile / 16 vectors. Of a symmetric matrix, the rows of the grain are read as stored up to the
 * diagonal block, and the columns of the grains below it beyond.
 */
export function productKernel(mode: ProductMode, tile: VectorTile, sharedBytes: number): string {
  const own = tile / 16;
  const loads = Math.ceil((tile * 4) / 256);
  const pad = sharedBytes >= 16 * (tile + 4 + 132) * 4 ? 4 : 0;
  const left = tile + pad;
  const right = 128 + pad;
  const below = { symmetric: 'g * 32u >= here.y', forward: 'false', transposed: 'true' }[mode];
  return `${productParams}${productBindings}
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;
var<workgroup> xs: array<f32, ${16 * left}>;
var<workgroup> ms: array<f32, ${16 * right}>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) t: u32) {
  let n0 = wg.x * 128u;
  let v0 = wg.y * ${tile}u;
  let tx = t % 16u;
  let ty = t / 16u;
  let here = grains[${mode === 'transposed' ? '0u' : 'wg.x'}];
  var acc: array<vec4f, ${2 * own}>;
  let first = wg.z * p.grainsPerSplit;
  let last = min(first + p.grainsPerSplit, p.grains);
  for (var g = first; g < last; g++) {
    let below = ${below};
    var source = here;
    var end = here.y * 4u;
    if (below) {
      source = grains[g];
      end = p.rows;
    }
    if (source.w == 0u) { continue; }
    for (var k = 0u; k < 128u; k += 16u) {
      let k0 = g * 128u + k;
      if (k0 >= end) { break; }
      ${each(
        loads,
        (r) => `{
        let index = t + ${r * 256}u;
        let row = index / 4u;
        let part = k0 / 4u + index % 4u;
        var v = vec4f(0);
        if (v0 + row < p.vectors && part < p.xStride) { v = x[(v0 + row) * p.xStride + part]; }
        ${tile * 4 < (r + 1) * 256 ? `if (index < ${tile * 4}u) {` : '{'}
          let at = (index % 4u) * ${4 * left}u + row;
          xs[at] = v.x; xs[at + ${left}u] = v.y; xs[at + ${2 * left}u] = v.z; xs[at + ${3 * left}u] = v.w;
        }
      }`,
      )}
      if (below) {
        for (var r = 0u; r < 2u; r++) {
          let index = t + r * 256u;
          let row = index / 32u;
          let part = index % 32u;
          var v = vec4f(0);
          if (k0 + row < p.rows && n0 / 4u + part < source.y) { v = m[source.x + (k + row) * source.y + n0 / 4u + part]; }
          let at = row * ${right}u + part * 4u;
          ms[at] = v.x; ms[at + 1u] = v.y; ms[at + 2u] = v.z; ms[at + 3u] = v.w;
        }
      } else {
        for (var r = 0u; r < 2u; r++) {
          let index = t + r * 256u;
          let row = index / 4u;
          let part = k0 / 4u + index % 4u;
          var v = vec4f(0);
          if (n0 + row < p.rows && part < source.y) { v = m[source.x + row * source.y + part]; }
          let at = (index % 4u) * ${4 * right}u + row;
          ms[at] = v.x; ms[at + ${right}u] = v.y; ms[at + ${2 * right}u] = v.z; ms[at + ${3 * right}u] = v.w;
        }
      }
      workgroupBarrier();
      for (var i = 0u; i < 16u; i++) {
        let b = i * ${right}u + tx * 4u;
        let b0 = vec4f(ms[b], ms[b + 1u], ms[b + 2u], ms[b + 3u]);
        let b1 = vec4f(ms[b + 64u], ms[b + 65u], ms[b + 66u], ms[b + 67u]);
        let a = i * ${left}u + ty * ${own}u;
        ${each(own, (r) => `{ let s = vec4f(xs[a + ${r}u]); acc[${2 * r}] = fma(s, b0, acc[${2 * r}]); acc[${2 * r + 1}] = fma(s, b1, acc[${2 * r + 1}]); }`)}
      }
      workgroupBarrier();
    }
  }
  let column = n0 / 4u + tx;
  ${each(
    own,
    (r) => `{
    let row = v0 + ty * ${own}u + ${r}u;
    if (row < p.vectors) {
      let at = ((p.slot + wg.z) * p.vectors + row) * p.outStride + column;
      if (column < p.outStride) { out[at] = acc[${2 * r}]; }
      if (column + 16u < p.outStride) { out[at + 16u] = acc[${2 * r + 1}]; }
    }
  }`,
  )}
}`;
}

/** Kernel that adds the parts of a split sum: \`out\` is the first of \`slots\` stretches of \`length\` vec4. */
export const sumKernel = `
struct Params { length: u32, slots: u32, groups: u32, unused: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> parts: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wg.y * p.groups + wg.x) * 64u + t;
  if (i >= p.length) { return; }
  var sum = vec4f(0);
  for (var s = 0u; s < p.slots; s++) { sum += parts[s * p.length + i]; }
  out[i] = sum;
}`;
