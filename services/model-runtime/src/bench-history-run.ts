import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { requirePreset } from '@errata/editor';
import { createDelta, type Deltas, disposeDelta, loadModel, type Model, scoreContinuations } from '@errata/model';
import type { Matrix, Store } from '@errata/store';
import {
  type LogBytes,
  logBytes,
  openRawCopy,
  startStreamServer,
  timedClean,
  writeSyntheticLog,
} from '@errata/store/testing';
import { createEngine } from '@errata/tensor';
import { StreamStates } from './stream-states.js';
import { WeightSnapshots } from './weight-snapshots.js';

/** What is asked after each rollback. */
const question = { prompt: 'The capital of France is', continuation: ' Paris' };
/** Positions at which the answer is held against one composed without folds or snapshots. */
const checked = 3;

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    positions: { type: 'string', default: '10000' },
    rollbacks: { type: 'string', default: '20' },
    every: { type: 'string', default: '500' },
    batch: { type: 'string', default: '1' },
  },
});
const positions = Number(values.positions);
const rollbacks = Number(values.rollbacks);
/** Positions between snapshots: what the policy's half second of replay comes to at this size. */
const every = Number(values.every);

/** Edits of a position. */
const batch = Number(values.batch);

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

function median(values: readonly number[]): number {
  return quantile(
    [...values].sort((a, b) => a - b),
    0.5,
  );
}

async function timed<Result>(work: () => Promise<Result>): Promise<{ ms: number; result: Result }> {
  const begun = performance.now();
  const result = await work();
  return { ms: performance.now() - begun, result };
}

/** A pool of numbers that factors are cut from: making gigabytes of random numbers is not what is measured. */
function numbers(): (rows: number, seed: number) => Matrix {
  const pool = Float32Array.from({ length: 1 << 20 }, (_, i) => 0.02 * Math.sin(i * 12.9898) * Math.cos(i * 78.233));
  return (rows, seed) => {
    const at = (seed * 7919) % (pool.length - rows * batch);
    return { rows, columns: batch, data: pool.slice(at, at + rows * batch) };
  };
}

async function ask(model: Model, deltas: Deltas): Promise<number> {
  return (await scoreContinuations(model, [question], { deltas }))[0].nll;
}

/** Of all columns at once, without folds or snapshots. */
async function composed(model: Model, store: Store, streamId: string, seq: number, layers: readonly number[]) {
  const { seqs } = await store.lineage(streamId, seq);
  const { hiddenSize, intermediateSize } = model.config;
  const deltas = new Map();
  for (const layer of layers) {
    const rank = seqs.length * batch;
    const left = new Float32Array(rank * hiddenSize);
    const right = new Float32Array(rank * intermediateSize);
    for (let at = 0; at < seqs.length; at += 500)
      for (const [i, { g, b }] of (await store.readEntries(streamId, layer, seqs.slice(at, at + 500))).entries()) {
        left.set(b.data, (at + i) * batch * hiddenSize);
        right.set(g.data, (at + i) * batch * intermediateSize);
      }
    deltas.set(layer, createDelta(model, layer, { rank, left, right }, 'dense'));
  }
  const nll = await ask(model, deltas);
  for (const delta of deltas.values()) disposeDelta(delta);
  return nll;
}

const path = values.model;
if (path === undefined) throw new Error('--model names no weight file');
const model = await loadModel({ engine: await createEngine(), path });
const { hiddenSize, intermediateSize, architecture, layers: depth } = model.config;
const config = requirePreset(model.config);
const { layers } = config;
const { url, store, stream, stop } = await startStreamServer(
  { id: model.id, name: 'bench', architecture, layers: depth, hiddenSize, intermediateSize },
  config,
);
try {
  const empty = await logBytes(url);
  const matrix = numbers();
  say(`writing ${positions} positions of ${layers.length} layers`);
  const wrote = await timed(() =>
    writeSyntheticLog(url, stream, positions, (seq, layer) => {
      const g = matrix(intermediateSize, seq * 31 + layer);
      return { keys: g, g, b: matrix(hiddenSize, seq * 17 + layer), rDiagonal: new Array<number>(batch).fill(1) };
    }),
  );
  const full = await logBytes(url);
  const perEdit = (part: keyof LogBytes) => (full[part] - empty[part]) / (positions * batch);
  const bytesPerEdit = perEdit('total');
  const floorBytesPerEdit = layers.length * 4 * (2 * intermediateSize + hiddenSize);
  say(`wrote it in ${(wrote.ms / 1000).toFixed(1)} s; taking snapshots every ${every} positions`);

  const onDamaged = () => {
    throw new Error('a snapshot is damaged');
  };
  const snapshots = new WeightSnapshots(model, store, onDamaged);
  const writer = new StreamStates(model, store, snapshots);
  const raw = await openRawCopy(url);
  const [bare, ratios] = [
    { write: 0, read: 0 },
    { write: [] as number[], read: [] as number[] },
  ];
  let snapshotBytes = 0;
  let taken = 0;
  const names = layers.map((layer) => `${layer}/delta`);
  for (let seq = every; seq <= positions; seq += every) {
    const held = await writer.foldsAt(stream.id, seq);
    if (held === null) continue;
    const save = await timedClean(() => snapshots.save(stream.id, held));
    held.release();
    if (!save.result.created) continue;
    const { id, bytes } = save.result.snapshot;
    snapshotBytes += bytes;
    taken++;
    const tensors: Buffer[] = [];
    await store.readSnapshotTensors(id, names, async ({ data }) => void tensors.push(Buffer.from(data.buffer)));
    const write = await timedClean(() => raw.write(tensors));
    bare.write += write.ms;
    ratios.write.push(save.ms / write.ms);
    const read = { ours: 0, bare: 0 };
    const sides = {
      ours: () => store.readSnapshotTensors(id, names, async () => undefined),
      bare: () => raw.read(),
    };
    // Each goes first every other time: the second has the memory of the first, which need not be made by the system.
    const order: ('ours' | 'bare')[] = taken % 2 === 0 ? ['ours', 'bare'] : ['bare', 'ours'];
    for (const side of order) read[side] = (await timedClean(sides[side])).ms;
    bare.read += read.bare;
    ratios.read.push(read.ours / read.bare);
  }
  writer.dispose();
  await raw.close();

  say(`${taken} snapshots; rolling back ${rollbacks} times`);
  const states = new StreamStates(model, store, snapshots);
  const times: number[] = [];
  let deviation = 0;
  for (let i = 0; i < rollbacks; i++) {
    const seq = 1 + ((i * 2654435761 + 12345) % positions);
    const { ms, result } = await timed(async () => {
      await store.rollback(stream.id, seq);
      const { head } = await store.getStream(stream.id);
      return ask(model, (await states.at({ streamId: stream.id, seq: head, staged: [] })).deltas);
    });
    times.push(ms);
    if (i < checked)
      deviation = Math.max(deviation, Math.abs(result - (await composed(model, store, stream.id, seq, layers))));
  }
  times.sort((a, b) => a - b);
  const branches: number[] = [];
  for (let i = 0; i < 9; i++) {
    const seq = 1 + ((i * 40503) % positions);
    branches.push((await timed(() => store.createBranch(stream.id, { name: `branch ${i}`, seq }))).ms);
  }
  branches.sort((a, b) => a - b);
  process.stdout.write(
    `${JSON.stringify({
      positions,
      batch,
      layers: layers.length,
      rollbackMs: { p50: quantile(times, 0.5), p95: quantile(times, 0.95) },
      answerDeviation: deviation,
      branchMs: quantile(branches, 0.5),
      snapshots: taken,
      snapshotBytes,
      snapshotWriteRatio: median(ratios.write),
      snapshotReadRatio: median(ratios.read),
      rawCopyMBs: { write: snapshotBytes / 1e3 / bare.write, read: snapshotBytes / 1e3 / bare.read },
      bytesPerEdit,
      floorBytesPerEdit,
      overheadBytesPerEdit: bytesPerEdit - floorBytesPerEdit,
      logBytesPerEdit: {
        rows: perEdit('rows'),
        rowIndex: perEdit('rowIndex'),
        pieces: perEdit('pieces'),
        pieceIndex: perEdit('pieceIndex'),
      },
    })}\n`,
  );
  states.dispose();
} finally {
  await stop();
}
