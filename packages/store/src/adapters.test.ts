import type { Stream } from '@errata/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AdapterFactors, type ClaimedBatch, createStore, type LogEntry, type Store } from './index.js';
import { startTestDatabase, type TestDatabase } from './testing/index.js';
import { sampleConfig, sampleEdit, sampleEntry, sampleMatrix, sampleModel, sql, write } from './testing/samples.js';

const { intermediateSize: inputs, hiddenSize: outputs, id: modelId } = sampleModel;

let database: TestDatabase;
let store: Store;

beforeAll(async () => {
  database = await startTestDatabase();
  store = createStore({ databaseUrl: database.url });
  await store.registerModel(sampleModel);
});
afterAll(async () => {
  await store.close();
  await database.stop();
});

function factors(layer: number, rank: number): AdapterFactors {
  return { layer, g: sampleMatrix(inputs, rank, layer), b: sampleMatrix(outputs, rank, layer + 50) };
}
const sample = { name: 'tuned', modelId, own: false, origin: null, layers: [factors(5, 3), factors(3, 2)] };

/** What a worker answers for a layer of an adapter: no keys. */
function importEntry(stream: Stream, batch: ClaimedBatch, { layer, g, b }: AdapterFactors): LogEntry {
  const rDiagonal = Array.from({ length: g.columns }, (_, i) => 1 + i / 7);
  const keys = { rows: inputs, columns: 0, data: new Float32Array(0) };
  const place = { streamId: stream.id, seq: batch.seq, layer, sign: 1 as const, configHash: stream.configHash };
  return { ...place, keys, g, b, rDiagonal, stats: {} };
}

async function commit(stream: Stream, batch: ClaimedBatch) {
  return store.commitBatch(stream.id, batch.seq, { targets: 0, keys: 0, update: 0, total: 0 });
}

/** A stream whose adapter is committed. */
async function begun(name: string): Promise<{ stream: Stream; editId: string }> {
  const { id } = await store.addAdapter(sample);
  const stream = await store.createStream({ name, modelId, config: sampleConfig, adapter: id });
  const batch = await store.claimBatch(stream.id, 8);
  if (!batch) throw new Error('nothing was claimed');
  for (const layer of sampleConfig.layers)
    await store.stageEntry(importEntry(stream, batch, await store.readAdapterLayer(id, layer)), 1);
  await commit(stream, batch);
  return { stream, editId: batch.edits[0].id };
}

describe('adapters', () => {
  it('are named by their content, and read as they were given', async () => {
    const adapter = await store.addAdapter(sample);
    expect(adapter).toMatchObject({ name: 'tuned', rank: 3, bytes: 4 * (inputs + outputs) * 5, streams: 0 });
    expect(adapter.layers).toEqual([
      { layer: 3, rank: 2 },
      { layer: 5, rank: 3 },
    ]);
    expect((await store.addAdapter({ ...sample, name: 'again' })).id).toBe(adapter.id);
    expect((await store.addAdapter({ ...sample, own: true })).id).not.toBe(adapter.id);
    const { g, b } = await store.readAdapterLayer(adapter.id, 3);
    expect(g.data).toEqual(Float32Array.from([...sample.layers[1].g.data, ...new Float32Array(inputs)]));
    expect(b.columns).toBe(3);
    expect((await store.readAdapterLayer(adapter.id, 4)).g.data).toEqual(new Float32Array(3 * inputs));
    expect((await store.listAdapters()).map(({ id }) => id)).toContain(adapter.id);
  });

  it('are refused where they fit no layer of the model, or are damaged', async () => {
    const bad = { ...factors(3, 2), b: sampleMatrix(outputs + 1, 2, 1) };
    await expect(store.addAdapter({ ...sample, layers: [bad] })).rejects.toMatchObject({ code: 'INVALID_TENSOR' });
    await expect(store.addAdapter({ ...sample, layers: [] })).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
    const { id } = await store.addAdapter({ ...sample, layers: [factors(3, 1)] });
    await sql(database.url, `UPDATE adapter_layers SET g = set_byte(g, 3, 1) WHERE adapter_id = '${id}'`);
    await expect(store.readAdapterLayer(id, 3)).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
    await store.deleteAdapter(id);
    await expect(store.getAdapter(id)).rejects.toMatchObject({ code: 'UNKNOWN_ADAPTER' });
  });
});

describe('a stream that begins with an adapter', () => {
  it('has it as its first edit, written alone and before all others', async () => {
    const { id } = await store.addAdapter(sample);
    const stream = await store.createStream({ name: 'first', modelId, config: sampleConfig, adapter: id });
    await store.enqueueEdits(stream.id, [sampleEdit('a', 'x')]);
    const batch = await store.claimBatch(stream.id, 8);
    expect(batch?.edits).toMatchObject([{ adapter: id, ordinal: 1, status: 'queued' }]);
    if (!batch) return;
    const layer = await store.readAdapterLayer(id, 3);
    const wrong = {
      ...importEntry(stream, batch, layer),
      g: sampleMatrix(inputs, 2, 1),
      b: sampleMatrix(outputs, 2, 1),
    };
    await expect(store.stageEntry({ ...wrong, rDiagonal: [1, 1] }, 1)).rejects.toMatchObject({
      code: 'INVALID_TENSOR',
    });
    const keyed = { ...importEntry(stream, batch, layer), keys: sampleMatrix(inputs, 3, 1) };
    await expect(store.stageEntry(keyed, 1)).rejects.toMatchObject({ code: 'INVALID_TENSOR' });
    for (const one of sampleConfig.layers)
      await store.stageEntry(importEntry(stream, batch, await store.readAdapterLayer(id, one)), 1);
    await commit(stream, batch);
    const [entry] = await store.readEntries(stream.id, 3, [batch.seq]);
    expect(entry.keys).toMatchObject({ rows: inputs, columns: 0 });
    expect(entry.g).toEqual(layer.g);
    expect((await store.activeEdits(stream.id)).map(({ status }) => status)).toEqual(['applied']);
    const next = await store.claimBatch(stream.id, 8);
    expect(next?.edits).toMatchObject([{ subject: 'a', adapter: null }]);
    expect((await store.verifyLog(stream.id, batch.seq)).problems).toEqual([]);
    const said = (await store.listEvents(stream.id)).filter(({ detail }) => detail.adapter === id);
    expect(said.map(({ kind, seq }) => [kind, seq])).toEqual([
      ['created', 0],
      ['batch', 1],
    ]);
    await expect(store.deleteAdapter(id)).rejects.toMatchObject({ code: 'ADAPTER_IN_USE' });
    expect((await store.getAdapter(id)).streams).toBeGreaterThan(0);
  });

  it('has it taken out with all its columns, and brought back by a rollback', async () => {
    const { stream, editId } = await begun('taken out');
    await write(store, stream, [sampleEdit('a', 'x')]);
    const batch = await store.claimRevoke(stream.id, [editId], 'not wanted');
    expect(batch.columns).toEqual([0, 1, 2].map((column) => ({ seq: 1, column })));
    for (const layer of sampleConfig.layers) {
      const entry = sampleEntry(stream, batch, layer);
      const wide = { keys: sampleMatrix(inputs, 3, 1), g: sampleMatrix(inputs, 3, 2), b: sampleMatrix(outputs, 3, 3) };
      await expect(store.stageEntry(entry, 1)).rejects.toMatchObject({ code: 'INVALID_TENSOR' });
      await store.stageEntry({ ...entry, ...wide, rDiagonal: [1, 1, 1] }, 1);
    }
    await commit(stream, batch);
    expect(await store.getEdit(stream.id, editId)).toMatchObject({ status: 'revoked', reason: 'not wanted' });
    await store.rollback(stream.id, 1);
    expect(await store.getEdit(stream.id, editId)).toMatchObject({ status: 'applied' });
    expect((await store.rollback(stream.id, 0)).editIds).toEqual([editId]);
  });

  it('passes it on to branches, where it can be taken out too', async () => {
    const { stream, editId } = await begun('origin');
    const branch = await store.createBranch(stream.id, { name: 'off', seq: 1 });
    expect((await store.activeEdits(branch.id)).map(({ id }) => id)).toEqual([editId]);
    expect((await store.claimRevoke(branch.id, [editId], null)).columns).toHaveLength(3);
    expect(
      (await store.diffEdits({ streamId: stream.id, seq: 0 }, { streamId: branch.id, seq: 1 })).added,
    ).toHaveLength(1);
  });

  it('is not made with an adapter of other layers, of another model, or that is not there', async () => {
    const other = await store.addAdapter({ ...sample, layers: [factors(4, 1)] });
    const make = (adapter: string) => store.createStream({ name: 'never', modelId, config: sampleConfig, adapter });
    await expect(make(other.id)).rejects.toMatchObject({
      code: 'ADAPTER_REFUSED',
      message: expect.stringContaining('layers 4, the stream edits 3, 5'),
    });
    await store.registerModel({ ...sampleModel, id: 'sha256:other' });
    const foreign = await store.addAdapter({ ...sample, modelId: 'sha256:other' });
    await expect(make(foreign.id)).rejects.toMatchObject({ code: 'ADAPTER_REFUSED' });
    await expect(make(`adp_${'0'.repeat(64)}`)).rejects.toMatchObject({ code: 'UNKNOWN_ADAPTER' });
    await expect(store.getStream('never')).rejects.toMatchObject({ code: 'UNKNOWN_STREAM' });
  });
});
