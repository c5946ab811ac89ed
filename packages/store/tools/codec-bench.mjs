#!/usr/bin/env node
// How much smaller chunks of snapshots become, and at which rate, against storing them as they are. Prints one JSON line
// for fp32 and one for fp64: products of random factors, as W − W₀ and C are. Needs `tsc -b packages/store` first.
import { createHash } from 'node:crypto';
import { decodeChunk, encodeChunk } from '../dist/codec.js';

const side = 1024;
const rank = 32;
let state = 1;
const random = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32 - 0.5;
};
const factor = () => Array.from({ length: side * rank }, random);
const [left, right] = [factor(), factor()];

function product(values) {
  for (let i = 0; i < values.length; i++) {
    const [row, column] = [Math.floor(i / side), i % side];
    for (let k = 0; k < rank; k++) values[i] += left[row * rank + k] * right[column * rank + k];
  }
  return Buffer.from(values.buffer);
}

async function rate(bytes, work) {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 5; i++) {
    const begun = performance.now();
    await work();
    best = Math.min(best, performance.now() - begun);
  }
  return Math.round(bytes / best / 1000);
}

for (const [element, values, width] of [
  ['fp32', new Float32Array(side * side), 4],
  ['fp64', new Float64Array((side * side) / 2), 8],
]) {
  const bytes = product(values);
  const { codec, body } = await encodeChunk(bytes, width);
  const report = {
    element,
    codec,
    ratio: Number((body.length / bytes.length).toFixed(3)),
    encodeMBs: await rate(bytes.length, () => encodeChunk(bytes, width)),
    decodeMBs: await rate(bytes.length, () => decodeChunk(codec, body, bytes.length)),
    sha256MBs: await rate(bytes.length, () => createHash('sha256').update(bytes).digest()),
  };
  console.log(JSON.stringify(report));
}
