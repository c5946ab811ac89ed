const rows = Array.from({ length: 8 }, (_, r) => r);
const rowOf = (r: number) => `${r < 4 ? '' : '64u + '}ty * 4u + ${r % 4}u`;

/**
 * Kernel of M ← M + Σ signⱼ leftⱼ rightⱼᵀ in place: a workgroup updates 128 × 128 elements, each of its 256 threads 8 × 8.
 * Element (i, j) of a diagonal block is made of the same products in the same order as (j, i), so that a symmetric block
 * stays symmetric to the last bit.
 */
export const updateKernel = `
struct Params { vectors: u32, leftStride: u32, rightStride: u32, rows: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> grains: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> m: array<vec4f>;
@group(0) @binding(3) var<storage, read> left: array<vec4f>;
@group(0) @binding(4) var<storage, read> right: array<vec4f>;
@group(0) @binding(5) var<storage, read> signs: array<f32>;
var<workgroup> ls: array<vec4f, 512>;
var<workgroup> rs: array<vec4f, 512>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) t: u32) {
  let grain = grains[wg.y];
  if (grain.w == 0u || wg.x * 32u >= grain.y) { return; }
  let tx = t % 16u;
  let ty = t / 16u;
  var acc: array<vec4f, 16>;
  for (var k0 = 0u; k0 < p.vectors; k0 += 16u) {
    for (var r = 0u; r < 2u; r++) {
      let index = t + r * 256u;
      let k = k0 + index / 32u;
      let part = index % 32u;
      var a = vec4f(0);
      var b = vec4f(0);
      if (k < p.vectors) {
        if (wg.y * 32u + part < p.leftStride) { a = signs[k] * left[k * p.leftStride + wg.y * 32u + part]; }
        if (wg.x * 32u + part < p.rightStride) { b = right[k * p.rightStride + wg.x * 32u + part]; }
      }
      ls[index] = a;
      rs[index] = b;
    }
    workgroupBarrier();
    for (var i = 0u; i < 16u; i++) {
      let a0 = ls[i * 32u + ty];
      let a1 = ls[i * 32u + 16u + ty];
      let b0 = rs[i * 32u + tx];
      let b1 = rs[i * 32u + 16u + tx];
${rows
  .map((r) => {
    const a = `vec4f(a${r < 4 ? 0 : 1}.${'xyzw'[r % 4]})`;
    return `      acc[${2 * r}] = fma(${a}, b0, acc[${2 * r}]); acc[${2 * r + 1}] = fma(${a}, b1, acc[${2 * r + 1}]);`;
  })
  .join('\n')}
    }
    workgroupBarrier();
  }
  let column = wg.x * 32u + tx;
${rows
  .map(
    (r) => `  {
    let row = ${rowOf(r)};
    if (wg.y * 128u + row < p.rows) {
      let at = grain.x + row * grain.y + column;
      if (column < grain.y) { m[at] += acc[${2 * r}]; }
      if (column + 16u < grain.y) { m[at + 16u] += acc[${2 * r + 1}]; }
    }
  }`,
  )
  .join('\n')}
}`;
