// At which condition number of A₀ fp32 storage of C still ends within 1e-5 of the fp64 closed form: 100 batches of 10
// columns at d = 512, spectra from 1 down to 1/condition, keys of that spectrum. Prints JSON.
import { createEngine, createMatrixEngine, invertSymmetric, panelRowsOf } from '@errata/tensor';
import { closedForm, createState } from '../dist/index.js';

const d = 512;
const dout = 32;
const u = 10;
const batches = 100;

let random = 7;
const uniform = () => {
  random = (random + 0x6d2b79f5) >>> 0;
  let t = Math.imul(random ^ (random >>> 15), 1 | random);
  t ^= t + Math.imul(t ^ (t >>> 7), 61 | t);
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
};
const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());

const { linalg } = await createEngine();
const engine = await createMatrixEngine();
const parts = { engine, linalg };

/** createInverse without its limits: they are what is measured. */
async function inverseOf(a, precision) {
  const panel = (firstRow, count) => {
    const columns = firstRow + count;
    const data = new Float64Array(count * columns);
    for (let i = 0; i < count; i++) data.set(a.subarray((firstRow + i) * d, (firstRow + i) * d + columns), i * columns);
    return { firstRow, rows: count, columns, data };
  };
  const inverted = await invertSymmetric(parts, { dimension: d, fill: panel });
  const c0 = await engine.symmetric({
    dimension: d,
    precision,
    fill: (first) => inverted.panel(first / panelRowsOf(d)),
  });
  const a0 = await engine.symmetric({ dimension: d, precision: 'fp64', fill: panel });
  return {
    dimension: d,
    lambda: 0,
    requestedLambda: 0,
    mu: 1,
    precision,
    share: c0.share,
    a0,
    c0,
    lambdaMin: 1,
    lambdaMax: 1,
    condition: 1,
    meanCondition: 1,
    trace: inverted.trace,
    bytes: 0,
    dispose() {},
  };
}

async function square(state) {
  const c = new Float64Array(d * d);
  for await (const { firstRow, rows: count, columns, data } of state.inversePanels())
    for (let i = 0; i < count; i++)
      for (let j = 0; j <= firstRow + i; j++)
        c[(firstRow + i) * d + j] = c[j * d + firstRow + i] = data[i * columns + j];
  return c;
}

function relative(actual, expected) {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i] - expected[i]) ** 2;
    size += expected[i] ** 2;
  }
  return Math.sqrt(difference / size);
}

const results = [];
for (const condition of [1e1, 1e2, 1e3, 1e4, 1e5, 1e6])
  for (const precision of ['fp64', 'fp32']) {
    const scales = Float64Array.from({ length: d }, (_, i) => condition ** (-i / (2 * (d - 1))));
    // Rotated by a random orthogonal matrix, Gram-Schmidt.
    const basis = [];
    for (let i = 0; i < d; i++) {
      const v = Float64Array.from({ length: d }, normal);
      for (let pass = 0; pass < 2; pass++)
        for (const b of basis) {
          let along = 0;
          for (let k = 0; k < d; k++) along += b[k] * v[k];
          for (let k = 0; k < d; k++) v[k] -= along * b[k];
        }
      const size = Math.sqrt(v.reduce((s, x) => s + x * x, 0));
      basis.push(v.map((x) => x / size));
    }
    const q = {
      rows: d,
      columns: d,
      data: Float64Array.from(basis.flatMap((b, i) => [...b.map((x) => x * scales[i])])),
    };
    const weight = d / 20;
    const a = linalg.matmul(q, q, { transposeA: true }).map((x) => weight * x);
    const columns = (count) => {
      const data = linalg.matmul(
        { rows: count, columns: d, data: Float64Array.from({ length: count * d }, normal) },
        q,
      );
      return { length: d, count, data: data.map(Math.fround) };
    };
    const inverse = await inverseOf(a, precision);
    const state = await createState(parts, inverse, { outputs: dout, foldRank: u });
    const keys = columns(u * batches);
    const targets = { length: dout, count: keys.count, data: Float64Array.from({ length: dout * keys.count }, normal) };
    for (let i = 0; i < batches; i++) {
      const batch = { length: d, count: u, data: keys.data.subarray(i * u * d, (i + 1) * u * d) };
      const moved = (await state.deltaTimes(batch)).data;
      const residual = { length: dout, count: u, data: moved.map((x, k) => targets.data[i * u * dout + k] - x) };
      const { sign, keys: k, g, b, rDiagonal } = await state.apply(batch, residual);
      const single = (c) => ({ ...c, data: Float32Array.from(c.data) });
      await state.append({ seq: i + 1, sign, keys: single(k), g: single(g), b: single(b), rDiagonal });
    }
    const expected = await closedForm(linalg, inverse, keys, targets);
    results.push({
      condition,
      meanCondition: scales.reduce((sum, x) => sum + x * x, 0) / d / scales[d - 1] ** 2,
      precision,
      weightError: relative(await state.deltaRows(0, dout), expected.delta),
      covarianceError: relative(await square(state), expected.c),
      measuredDeviation: await state.measureDeviation(),
    });
    state.dispose();
  }
await engine.dispose();
process.stdout.write(`${JSON.stringify(results, null, 1)}\n`);
