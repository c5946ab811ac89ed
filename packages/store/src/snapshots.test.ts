import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStore, type SnapshotTensor, type Store } from './index.js';
import { startTestDatabase, type TestDatabase } from './testing/index.js';
import { sampleEdit, sampleStream, sql, write } from './testing/samples.js';

const MB = 1024 * 1024;
let database: TestDatabase;
let store: Store;
let compressing: Store;

beforeAll(async () => {
  database = await startTestDatabase();
  store = createStore({ databaseUrl: database.url });
  compressing = createStore({ databaseUrl: database.url, compressChunks: true });
});
afterAll(async () => {
  await store.close();
  await compressing.close();
  await database.stop();
});

/** Numbers of one sign and size: their highest bytes repeat. */
function tensor(name: string, megabytes: number, seed: number, element: 'fp32' | 'fp64' = 'fp32'): SnapshotTensor {
  const length = (megabytes * MB) / (element === 'fp32' ? 4 : 8);
  const value = (i: number) => 1 + ((i * 2654435761 + seed * 97) % 1000003) / 1000003;
  const values =
    element === 'fp32'
      ? Float32Array.from({ length }, (_, i) => value(i))
      : Float64Array.from({ length }, (_, i) => value(i));
  return { name, rows: length / 16, columns: 16, data: values };
}

/** Bit for bit. */
const same = (a: SnapshotTensor, b: SnapshotTensor) =>
  a.name === b.name && a.rows === b.rows && Buffer.from(a.data.buffer).equals(Buffer.from(b.data.buffer));

async function streamWith(name: string, edits: number) {
  const stream = await sampleStream(store, name);
  for (let i = 0; i < edits; i++) await write(store, stream, [sampleEdit(`${name} ${i}`, 'x')]);
  return stream;
}

const count = async (table: string) =>
  Number((await sql(database.url, `SELECT count(*) AS n FROM ${table}`)).rows[0].n);

it('reads back what was kept, and keeps equal chunks once', async () => {
  const { id: streamId } = await streamWith('kept', 3);
  const key = { streamId, kind: 'weights', form: 'a/1' } as const;
  const [one, two] = [tensor('3/delta', 9, 1), tensor('5/delta', 6, 2, 'fp64')];
  const first = await store.saveSnapshot({ ...key, seq: 2 }, [one, two]);
  expect(first).toMatchObject({ created: true, snapshot: { seq: 2, bytes: 15 * MB } });
  expect(first.snapshot.hash).toBe(await store.hashAt(streamId, 2));
  expect(await count('chunks')).toBe(5);
  const again = await store.saveSnapshot({ ...key, seq: 2 }, [tensor('3/delta', 1, 7)]);
  expect(again).toEqual({ ...first, created: false });

  const other = await store.saveSnapshot({ ...key, seq: 3 }, [one, tensor('5/delta', 6, 3, 'fp64')]);
  expect(await count('chunks')).toBe(7);
  for (const { snapshot } of [first, other])
    expect(same(await store.readSnapshotTensor(snapshot.id, '3/delta'), one)).toBe(true);
  expect(same(await store.readSnapshotTensor(first.snapshot.id, '5/delta'), two)).toBe(true);

  expect((await store.findSnapshots(key, [1, 2, 3])).map(({ seq }) => seq)).toEqual([3, 2]);
  expect(await store.findSnapshots(key, [1])).toEqual([]);
  expect(await store.findSnapshots({ ...key, form: 'b/1' }, [1, 2, 3])).toEqual([]);
  await store.dropSnapshot(other.snapshot.id);
  expect(await store.listSnapshots(streamId)).toEqual([first.snapshot]);
});

it('compresses what saves something, and reads it with any setting', async () => {
  const { id: streamId } = await streamWith('compressed', 1);
  const [narrow, wide] = [tensor('a', 4, 11), tensor('b', 4, 12, 'fp64')];
  const noise = {
    ...tensor('c', 1, 0),
    data: new Float32Array(crypto.getRandomValues(new Uint8Array(65536)).buffer),
    rows: 1024,
  };
  const { snapshot } = await compressing.saveSnapshot({ streamId, seq: 1, kind: 'weights', form: 'x' }, [
    narrow,
    wide,
    noise,
  ]);
  const { rows } = await sql(
    database.url,
    `SELECT s.name, c.codec, c.stored_bytes FROM chunks c JOIN snapshot_chunks s ON s.chunk_id = c.id WHERE s.snapshot_id = $1 ORDER BY 1`,
    [snapshot.id],
  );
  expect(rows.map(({ codec }) => codec)).toEqual(['brotli-4', 'brotli-8', 'none']);
  expect(rows[0].stored_bytes).toBeLessThan(0.9 * 4 * MB);
  for (const one of [narrow, wide, noise])
    expect(same(await store.readSnapshotTensor(snapshot.id, one.name), one)).toBe(true);
});

it('finds a flipped bit in a chunk', async () => {
  const { id: streamId } = await streamWith('flipped', 1);
  const { snapshot } = await store.saveSnapshot({ streamId, seq: 1, kind: 'weights', form: 'x' }, [tensor('a', 5, 21)]);
  const flip = `UPDATE chunks SET data = set_byte(data, 77, get_byte(data, 77) # 1)
    WHERE id = (SELECT chunk_id FROM snapshot_chunks WHERE snapshot_id = $1 AND index = 1)`;
  await sql(database.url, flip, [snapshot.id]);
  await expect(store.readSnapshotTensor(snapshot.id, 'a')).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
  await sql(database.url, flip, [snapshot.id]);
  expect((await store.readSnapshotTensor(snapshot.id, 'a')).data).toHaveLength((5 * MB) / 4);
});

it('reads many tensors in one pass, as far as they are whole', async () => {
  const { id: streamId } = await streamWith('passed', 1);
  // Two equal chunks, and a tensor that ends in the middle of one.
  const zeros = { name: 'zeros', rows: 2 * MB, columns: 1, data: new Float32Array(2 * MB) };
  const kept = [tensor('a', 9, 61), tensor('b', 1, 62, 'fp64'), zeros, tensor('d', 5, 63)];
  const { snapshot } = await store.saveSnapshot({ streamId, seq: 1, kind: 'weights', form: 'x' }, kept);
  const read = async (names: readonly string[]) => {
    const found: SnapshotTensor[] = [];
    const done = store.readSnapshotTensors(snapshot.id, names, async (one) => void found.push(one));
    return {
      found,
      error: await done.then(
        () => null,
        (error: unknown) => error,
      ),
    };
  };
  const whole = await read(['d', 'zeros', 'b', 'a']);
  expect(whole.error).toBeNull();
  expect(whole.found.map(({ name }) => name)).toEqual(['d', 'zeros', 'b', 'a']);
  for (const one of whole.found)
    expect(same(one, kept.find(({ name }) => name === one.name) as SnapshotTensor)).toBe(true);

  await sql(
    database.url,
    `UPDATE chunks SET data = set_byte(data, 9, get_byte(data, 9) # 4)
     WHERE id = (SELECT chunk_id FROM snapshot_chunks WHERE snapshot_id = $1 AND name = 'b')`,
    [snapshot.id],
  );
  const damaged = await read(['d', 'b', 'a']);
  expect(damaged.found.map(({ name }) => name)).toEqual(['d']);
  expect(damaged.error).toMatchObject({ code: 'LOG_CORRUPT' });
  const unknown = await read(['d', 'e']);
  expect(unknown.found.map(({ name }) => name)).toEqual(['d']);
  expect(unknown.error).toMatchObject({ code: 'UNKNOWN_POSITION' });
});

it('keeps one of many writers, and nothing of one that fails', async () => {
  const { id: streamId } = await streamWith('raced', 1);
  const key = { streamId, seq: 1, kind: 'weights', form: 'x' } as const;
  const saved = await Promise.all(Array.from({ length: 5 }, () => store.saveSnapshot(key, [tensor('a', 5, 31)])));
  expect(saved.filter(({ created }) => created)).toHaveLength(1);
  expect(new Set(saved.map(({ snapshot }) => snapshot.id)).size).toBe(1);

  async function* failing() {
    yield tensor('a', 1, 41);
    throw new Error('the engine is gone');
  }
  await expect(store.saveSnapshot({ ...key, form: 'y' }, failing())).rejects.toThrow('the engine is gone');
  expect(await store.findSnapshots({ ...key, form: 'y' }, [1])).toEqual([]);
  for (const seq of [2, 0])
    await expect(store.saveSnapshot({ ...key, seq }, [])).rejects.toMatchObject({ code: 'UNKNOWN_POSITION' });
  const wrong = { ...tensor('a', 1, 1), rows: 3 };
  await expect(store.saveSnapshot({ ...key, form: 'z' }, [wrong])).rejects.toMatchObject({ code: 'INVALID_TENSOR' });
});

it('says what a replay costs from the nearest snapshot', async () => {
  const { id: streamId } = await streamWith('cost', 5);
  const entryBytes = 4 * (2 * 6 + 4);
  expect(await store.replayCost(streamId, 5, 'weights')).toEqual({ from: 0, entries: 10, bytes: 10 * entryBytes });
  await store.saveSnapshot({ streamId, seq: 3, kind: 'weights', form: 'x' }, []);
  expect(await store.replayCost(streamId, 5, 'weights')).toEqual({ from: 3, entries: 4, bytes: 4 * entryBytes });
  expect(await store.replayCost(streamId, 3, 'weights')).toEqual({ from: 3, entries: 0, bytes: 0 });
  expect(await store.replayCost(streamId, 2, 'weights')).toMatchObject({ from: 0, entries: 4 });
  expect(await store.replayCost(streamId, 0, 'weights')).toEqual({ from: 0, entries: 0, bytes: 0 });
});

/** Object storage in memory that can be full: the failure is made where the driver of a real one would report it. */
class Objects {
  readonly held = new Map<string, Buffer>();
  room = Number.POSITIVE_INFINITY;

  async put(key: string, bytes: Buffer): Promise<void> {
    if (this.held.size >= this.room) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    this.held.set(key, Buffer.from(bytes));
  }
  async get(key: string): Promise<Buffer> {
    const bytes = this.held.get(key);
    if (!bytes) throw new Error(`no object ${key}`);
    return bytes;
  }
  async remove(key: string): Promise<void> {
    this.held.delete(key);
  }
}

it('leaves nothing half-written where storage is full, and goes on when there is room', async () => {
  const { id: streamId } = await streamWith('full', 2);
  const objects = new Objects();
  const remote = createStore({ databaseUrl: database.url, objects });
  const key = { streamId, kind: 'weights', form: 'x' } as const;
  const old = await remote.saveSnapshot({ ...key, seq: 1 }, [tensor('a', 5, 51)]);
  expect(objects.held.size).toBe(2);
  objects.room = 3;
  await expect(remote.saveSnapshot({ ...key, seq: 2 }, [tensor('a', 9, 52)])).rejects.toThrow('no space left');
  expect((await remote.listSnapshots(streamId)).map(({ seq }) => seq)).toEqual([1]);
  expect(same(await remote.readSnapshotTensor(old.snapshot.id, 'a'), tensor('a', 5, 51))).toBe(true);
  await write(remote, await remote.getStream(streamId), [sampleEdit('full on', 'x')]);
  expect(await remote.collectGarbage({ keepMs: 0, graceMs: -1000 })).toMatchObject({ snapshots: 0 });
  expect(objects.held.size).toBe(2);

  objects.room = Number.POSITIVE_INFINITY;
  const { snapshot } = await remote.saveSnapshot({ ...key, seq: 2 }, [tensor('a', 9, 52)]);
  expect(same(await remote.readSnapshotTensor(snapshot.id, 'a'), tensor('a', 9, 52))).toBe(true);
  await expect(store.readSnapshotTensor(snapshot.id, 'a')).rejects.toMatchObject({ code: 'NOT_READY' });
  await remote.dropSnapshot(snapshot.id);
  await remote.collectGarbage({ keepMs: 0, graceMs: -1000 });
  expect(objects.held.size).toBe(2);
  await remote.close();
});
