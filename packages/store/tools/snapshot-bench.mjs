#!/usr/bin/env node
// Snapshots of made-up tensors written and read again, each beside a bare COPY of the same bytes, in a Postgres of its own.
// Prints one JSON line: medians of the rounds. Needs `tsc -b packages/store` first.
// [--rows 576] [--columns 1536] [--tensors 5] [--rounds 20]
import { parseArgs } from 'node:util';
import { openRawCopy, startStreamServer, timedClean, writeSyntheticLog } from '../dist/testing/index.js';

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '576' },
    columns: { type: 'string', default: '1536' },
    tensors: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '20' },
  },
});
const [rows, columns, tensors, rounds] = ['rows', 'columns', 'tensors', 'rounds'].map((name) => Number(values[name]));
const layers = Array.from({ length: tensors }, (_, i) => i);
const chunkBytes = 4 * 1024 * 1024;

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const model = { id: 'm', name: 'm', architecture: 'llama', layers: tensors, hiddenSize: 4, intermediateSize: 4 };
const config = {
  layers,
  lambda: 0,
  mu: 1,
  covarianceWeight: 1,
  covarianceTokens: 1,
  batchSize: 1,
  templates: ['{}'],
};
const { url, store, stream, stop } = await startStreamServer(model, config);
try {
  const small = { rows: 4, columns: 1, data: new Float32Array(4) };
  await writeSyntheticLog(url, stream, rounds, () => ({ keys: small, g: small, b: small, rDiagonal: [1] }));

  const numbers = Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(i));
  const raw = await openRawCopy(url);
  const found = { write: [], read: [], rawWrite: [], rawRead: [] };
  for (let round = 1; round <= rounds; round++) {
    const made = layers.map((layer) => {
      const data = numbers.slice();
      // Chunks are stored once: each has to be another one.
      for (let at = 0; at < data.length; at += chunkBytes / 4) data[at] = round * tensors + layer;
      return { name: `${layer}/delta`, rows, columns, data };
    });
    const key = { streamId: stream.id, seq: round, kind: 'weights', form: 'bench' };
    const names = made.map(({ name }) => name);
    const bytes = made.map(({ data }) => Buffer.from(data.buffer));
    const write = await timedClean(() => store.saveSnapshot(key, made));
    found.write.push(write.ms);
    found.rawWrite.push((await timedClean(() => raw.write(bytes))).ms);
    const reads = {
      read: () => store.readSnapshotTensors(write.result.snapshot.id, names, async () => undefined),
      rawRead: () => raw.read(),
    };
    // Each goes first every other time: the second has the memory of the first, which need not be made by the system.
    const order = Object.keys(reads);
    for (const side of round % 2 === 0 ? order : order.reverse()) found[side].push((await timedClean(reads[side])).ms);
  }
  const ms = Object.fromEntries(Object.entries(found).map(([name, list]) => [name, Number(median(list).toFixed(1))]));
  const ratio = (ours, bare) => Number(median(found[ours].map((time, i) => time / found[bare][i])).toFixed(2));
  const bytes = 4 * rows * columns * tensors;
  console.log(
    JSON.stringify({ bytes, ...ms, writeRatio: ratio('write', 'rawWrite'), readRatio: ratio('read', 'rawRead') }),
  );
  await raw.close();
} finally {
  await stop();
}
