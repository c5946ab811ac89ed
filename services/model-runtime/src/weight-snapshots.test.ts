import type { Model } from '@errata/model';
import { generator, tinyModel } from '@errata/model/testing';
import { createStore, type Matrix, migrate, type SnapshotInfo, type Store } from '@errata/store';
import { startTestServer, type TestServer } from '@errata/store/testing';
import { createEngine } from '@errata/tensor';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { StreamStates } from './stream-states.js';
import { testConfig } from './testing/memory-log.js';
import { WeightSnapshots } from './weight-snapshots.js';

const batches = 15;
/** So that every fourth batch ends with a fold. */
const columns = 32;
let server: TestServer;
let store: Store;
let model: Model;
let streamId: string;
let damaged: SnapshotInfo[] = [];

beforeAll(async () => {
  server = await startTestServer();
  await server.query('CREATE DATABASE errata');
  await migrate(server.url('errata'));
  store = createStore({ databaseUrl: server.url('errata') });
  model = tinyModel(await createEngine());
  const { id, config } = model;
  const { architecture, layers, hiddenSize, intermediateSize } = config;
  await store.registerModel({ id, name: 'tiny', architecture, layers, hiddenSize, intermediateSize });
  const stream = await store.createStream({ name: 's', modelId: id, config: { ...testConfig, batchSize: columns } });
  streamId = stream.id;
  for (let n = 1; n <= batches; n++) {
    const texts = Array.from({ length: columns }, (_, i) => `${n}.${i} is`);
    await store.enqueueEdits(
      streamId,
      texts.map((prompt) => ({ prompt, target: 'x', paraphrases: [], neighbours: [], tags: [] })),
    );
    const batch = await store.claimBatch(streamId, columns);
    for (const layer of testConfig.layers) {
      const random = generator(1000 * n + layer);
      const matrix = (rows: number): Matrix => ({
        rows,
        columns,
        data: Float32Array.from({ length: rows * columns }, () => (random() - 0.5) / 20),
      });
      const g = matrix(intermediateSize);
      const factors = { keys: g, g, b: matrix(hiddenSize), rDiagonal: new Array<number>(columns).fill(1), stats: {} };
      const place = { streamId, seq: n, layer, sign: 1 as const, configHash: stream.configHash };
      await store.stageEntry({ ...place, ...factors }, 1);
    }
    await store.commitBatch(streamId, batch?.seq ?? 0, { targets: 0, keys: 0, update: 0, total: 0 });
  }
}, 120_000);
afterAll(async () => {
  await store.close();
  await server.stop();
});

function states() {
  damaged = [];
  const snapshots = new WeightSnapshots(model, store, (snapshot) => void damaged.push(snapshot));
  return { snapshots, states: new StreamStates(model, store, snapshots) };
}

/** The weights of both layers at a position, and how many entries were read for them. */
async function weightsAt(of: StreamStates, seq: number) {
  const { deltas, entriesRead } = await of.at({ streamId, seq, staged: [] });
  const bytes = await Promise.all(
    [...deltas.values()].map(async (delta) =>
      Buffer.from(((await (delta.kind === 'dense' ? delta.weight : delta.left).data()) as Float32Array).slice().buffer),
    ),
  );
  return { bytes: Buffer.concat(bytes), entriesRead };
}

async function snapshotAt(seq: number) {
  const { states: own, snapshots } = states();
  const held = await own.foldsAt(streamId, seq);
  const saved = held && (await snapshots.save(streamId, held));
  held?.release();
  own.dispose();
  return saved;
}

it('has the same bits replayed, followed, gone back and restored', async () => {
  const replayed = new Map<number, Buffer>();
  for (let seq = 1; seq <= batches; seq++) {
    const { states: own } = states();
    replayed.set(seq, (await weightsAt(own, seq)).bytes);
    own.dispose();
  }
  expect(await snapshotAt(3)).toBeNull();
  expect(await snapshotAt(10)).toMatchObject({ created: true, snapshot: { seq: 8, kind: 'weights' } });
  expect(await snapshotAt(9)).toMatchObject({ created: false, snapshot: { seq: 8 } });
  expect(await snapshotAt(15)).toMatchObject({ created: true, snapshot: { seq: 12 } });

  const { states: long } = states();
  for (const seq of [1, 2, 5, 8, 9, 13, 15, 14, 12, 11, 8, 7, 4, 3, 15, 1, 10]) {
    expect((await weightsAt(long, seq)).bytes.equals(replayed.get(seq) as Buffer), `seq ${seq}`).toBe(true);
  }
  long.dispose();
  for (const seq of [9, 12, 15]) {
    const { states: own } = states();
    const restored = await weightsAt(own, seq);
    expect(restored.bytes.equals(replayed.get(seq) as Buffer), `seq ${seq}`).toBe(true);
    expect(restored.entriesRead).toBe(2 * (seq % 4));
    own.dispose();
  }
});

it('replays what a damaged snapshot does not give, and says so', async () => {
  const { states: own } = states();
  const whole = await weightsAt(own, 15);
  own.dispose();
  await server.query('UPDATE chunks SET data = set_byte(data, 5, get_byte(data, 5) # 8)', 'errata');
  const { states: other } = states();
  const replayed = await weightsAt(other, 15);
  expect(replayed.bytes.equals(whole.bytes)).toBe(true);
  expect(replayed.entriesRead).toBe(2 * batches);
  expect(damaged.map(({ seq }) => seq)).toEqual([12, 12, 8, 8]);
  other.dispose();
});

it('frees every tensor', async () => {
  const { tf } = model.engine;
  const before = tf.memory().numTensors;
  const { states: own } = states();
  for (const seq of [15, 3, 9]) await own.at({ streamId, seq, staged: [] });
  const held = await own.foldsAt(streamId, 9);
  own.dispose();
  expect(tf.memory().numTensors).toBe(before + 2);
  held?.release();
  expect(tf.memory().numTensors).toBe(before);
});
