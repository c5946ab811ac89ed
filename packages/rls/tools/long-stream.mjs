// 10,000 columns in batches of 100 against the fp64 closed form, and 100 of 1,000 columns revoked against never applied.
// Prints JSON. Usage: node packages/rls/tools/long-stream.mjs [--columns N] [--d N] [--rows N] [--weight W] [--keys FILE]
// FILE: keys as little-endian fp32, d at a time; the spectrum of the anchor is then that of the first half of them.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createEngine, createMatrixEngine } from '@errata/tensor';
import { closedForm, createInverse, createState } from '../dist/index.js';

const { values } = parseArgs({
  options: {
    d: { type: 'string', default: '1536' },
    rows: { type: 'string', default: '64' },
    columns: { type: 'string', default: '10000' },
    batch: { type: 'string', default: '100' },
    // Of the covariance; the default makes 1 + kᵀC₀k about 20, as hard as edits are written.
    weight: { type: 'string' },
    keys: { type: 'string' },
  },
});
const [d, dout, total, u] = [values.d, values.rows, values.columns, values.batch].map(Number);
const weight = values.weight === undefined ? d / 20 : Number(values.weight);
const BLOCK = 512;

function normals(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t ^= t + Math.imul(t ^ (t >>> 7), 61 | t);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}
const normal = normals(11);

/** Eigenvalues from 1 down to 1e-4 as a power law, rotated by two Householder reflections. */
const scales = Float64Array.from({ length: d }, (_, i) => (1 + i) ** (Math.log(1e-2) / Math.log(d)));
const mirrors = [0, 1].map(() => {
  const v = Float64Array.from({ length: d }, normal);
  const size = Math.sqrt(v.reduce((s, x) => s + x * x, 0));
  return v.map((x) => x / size);
});
function rotated(x) {
  for (const v of mirrors) {
    const along = 2 * v.reduce((s, y, i) => s + y * x[i], 0);
    for (let i = 0; i < d; i++) x[i] -= along * v[i];
  }
  return x;
}

function syntheticColumns(count) {
  const data = new Float32Array(d * count);
  for (let j = 0; j < count; j++) data.set(rotated(scales.map((s) => s * normal())), j * d);
  return { length: d, count, data };
}

function realColumns(file) {
  const bytes = readFileSync(file);
  const data = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  return { length: d, count: Math.floor(data.length / d), data };
}

const slice = (columns, from, count) => ({
  length: columns.length,
  count,
  data: columns.data.slice(from * columns.length, (from + count) * columns.length),
});
const wide = (columns) => ({ ...columns, data: Float64Array.from(columns.data) });

/** Second moment of columns, made symmetric bit by bit. */
function moment(linalg, columns) {
  const sum = new Float64Array(d * d);
  for (let at = 0; at < columns.count; at += BLOCK) {
    const part = wide(slice(columns, at, Math.min(BLOCK, columns.count - at)));
    const rows = { rows: part.count, columns: d, data: part.data };
    const product = linalg.matmul(rows, rows, { transposeA: true });
    for (let i = 0; i < sum.length; i++) sum[i] += product[i] / columns.count;
  }
  const single = new Float32Array(d * d);
  for (let i = 0; i < d; i++) for (let j = 0; j <= i; j++) single[i * d + j] = single[j * d + i] = sum[i * d + j];
  return single;
}

/** V − W K of columns whose values were fixed beforehand; W₀ = 0. */
async function residualOf(state, keys, targets) {
  const moved = (await state.deltaTimes(keys)).data;
  return { ...targets, data: Float64Array.from(targets.data, (x, i) => x - moved[i]) };
}

const single = (c) => ({ ...c, data: Float32Array.from(c.data) });
const record = (seq, update) => ({
  seq,
  sign: update.sign,
  keys: single(update.keys),
  g: single(update.g),
  b: single(update.b),
  rDiagonal: update.rDiagonal,
});

async function square(state) {
  const c = new Float64Array(d * d);
  for await (const { firstRow, rows, columns, data } of state.inversePanels())
    for (let i = 0; i < rows; i++)
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

const { linalg } = await createEngine();
const engine = await createMatrixEngine();
const parts = { engine, linalg };

const real = values.keys === undefined ? null : realColumns(values.keys);
const streams = [
  { name: 'synthetic', anchor: syntheticColumns(3 * d), keys: syntheticColumns(total) },
  ...(real === null
    ? []
    : [
        {
          name: 'real',
          anchor: slice(real, 0, Math.floor(real.count / 2)),
          keys: slice(real, Math.floor(real.count / 2), Math.min(total, Math.ceil(real.count / 2))),
        },
      ]),
];
const results = [];
for (const { name, anchor, keys } of streams) {
  const source = { lambda: 0, mu: 1, covarianceWeight: weight, moment: moment(linalg, anchor), dimension: d };
  const columns = keys.count;
  const targets = { length: dout, count: columns, data: Float32Array.from({ length: dout * columns }, normal) };
  for (const precision of ['fp64', 'fp32']) {
    const inverse = await createInverse(parts, source, { precision });
    const state = await createState(parts, inverse, { outputs: dout, batch: u });
    const started = performance.now();
    for (let at = 0; at < columns; at += u) {
      const count = Math.min(u, columns - at);
      const batch = slice(keys, at, count);
      const update = await state.apply(batch, await residualOf(state, batch, slice(targets, at, count)));
      await state.append(record(at / u + 1, update));
    }
    const seconds = (performance.now() - started) / 1000;
    const expected = await closedForm(linalg, inverse, wide(keys), wide(targets));
    const after = {
      w: relative(await state.deltaRows(0, dout), expected.delta),
      c: relative(await square(state), expected.c),
    };
    const deviation = await state.measureDeviation();
    const refreshed = (await state.refresh()).deviation;
    state.dispose();

    const kept = Math.min(1000, columns);
    const revoked = await createState(parts, inverse, { outputs: dout, batch: u });
    for (let at = 0; at < kept; at += u) {
      const batch = slice(keys, at, u);
      const residual = await residualOf(revoked, batch, slice(targets, at, u));
      await revoked.append(record(at / u + 1, await revoked.apply(batch, residual)));
    }
    const order = Array.from({ length: kept }, (_, i) => i);
    for (let i = kept - 1; i > 0; i--) {
      const j = Math.floor(Math.abs(normal()) * 1e6) % (i + 1);
      [order[i], order[j]] = [order[j], order[i]];
    }
    let least = 1;
    for (let i = 0; i < Math.min(100, kept); i++) {
      const update = await revoked.revoke([{ seq: Math.floor(order[i] / u) + 1, column: order[i] % u }]);
      least = Math.min(least, update.stats.lambdaMin);
      await revoked.append(record(10_000 + i, update));
    }
    const left = order.slice(Math.min(100, kept)).sort((a, b) => a - b);
    const pick = (c) => {
      const data = new Float64Array(c.length * left.length);
      left.forEach((from, to) => {
        data.set(c.data.subarray(from * c.length, (from + 1) * c.length), to * c.length);
      });
      return { length: c.length, count: left.length, data };
    };
    const never = await closedForm(linalg, inverse, pick(keys), pick(targets));
    results.push({
      keys: name,
      precision,
      d,
      columns,
      condition: inverse.condition,
      foldRank: revoked.foldRank,
      secondsPerBatch: (seconds * u) / columns,
      weightError: after.w,
      covarianceError: after.c,
      measuredDeviation: deviation,
      deviationAtRefresh: refreshed,
      revoked: {
        leastLambdaMinT: least,
        weightError: relative(await revoked.deltaRows(0, dout), never.delta),
        covarianceError: relative(await square(revoked), never.c),
      },
    });
    revoked.dispose();
    inverse.dispose();
  }
}
await engine.dispose();
process.stdout.write(`${JSON.stringify({ engine: engine.description, results }, null, 2)}\n`);
