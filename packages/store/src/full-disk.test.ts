import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, closeSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ErrataError, type Model } from '@errata/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createStore, migrate, type SnapshotTensor, type Store } from './index.js';
import { startTestServer, type TestServer } from './testing/index.js';
import { sampleConfig, sampleEdit, sampleMatrix } from './testing/samples.js';

// The disk that fills is that of Postgres itself: its data lies on a small tmpfs of its own.
const megabyte = 1024 * 1024;
const folder = mkdtempSync(join(tmpdir(), 'errata-full-disk-'));
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256m,mode=777', 'tmpfs', folder]).status === 0;
if (!mounted) console.warn('a tmpfs cannot be mounted here: the test of a full disk under Postgres is skipped');
afterAll(() => {
  if (mounted) spawnSync('umount', ['-l', folder]);
  rmSync(folder, { recursive: true, force: true });
});

const filler = join(folder, 'filler');
const free = () => {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
};

/** Leaves so many bytes, or as few as there are. */
function fill(left: number): void {
  const file = openSync(filler, 'a');
  try {
    const block = Buffer.alloc(64 * 1024);
    while (free() > left) writeSync(file, block);
  } finally {
    closeSync(file);
  }
}

/** Wide enough that an entry has megabytes. */
const model: Model = {
  id: 'sha256:wide',
  name: 'wide',
  architecture: 'llama',
  layers: 12,
  hiddenSize: 65_536,
  intermediateSize: 262_144,
};

function tensor(megabytes: number): SnapshotTensor {
  const data = new Float32Array(randomBytes(megabytes * megabyte).buffer.slice(0, megabytes * megabyte));
  return { name: 'delta', rows: 1024, columns: data.length / 1024, data };
}

const passing = (error: unknown) =>
  expect(error instanceof ErrataError ? [error.code, error.retryable] : error).toEqual(['NOT_READY', true]);

describe.skipIf(!mounted)('a disk that fills under Postgres', () => {
  let server: TestServer;
  let store: Store;

  beforeAll(async () => {
    chmodSync(folder, 0o777);
    server = await startTestServer({ parent: folder, initdbFlags: ['--wal-segsize=1'] });
    await server.query('CREATE DATABASE full_disk');
    await migrate(server.url('full_disk'));
    store = createStore({ databaseUrl: server.url('full_disk') });
    await store.registerModel(model);
  }, 120_000);
  afterAll(async () => {
    await store?.close();
    await server?.stop();
  });

  /** Frees the space; a server that ended is started again, as whoever supervises it would. */
  async function recover(): Promise<void> {
    rmSync(filler);
    for (let tries = 0; ; tries++)
      try {
        return await store.ping();
      } catch (error) {
        if (tries >= 20) throw error;
        await new Promise((resolve) => setTimeout(resolve, 500));
        if (tries % 5 === 4) await server.restart();
      }
  }

  it('fails snapshots and batches for a passing reason, loses nothing, and goes on with space', async () => {
    const stream = await store.createStream({ name: 'full', modelId: model.id, config: sampleConfig });
    const claimed = async (subject: string) => {
      await store.enqueueEdits(stream.id, [sampleEdit(subject, 'x')]);
      const batch = await store.claimBatch(stream.id, 8);
      if (!batch) throw new Error('nothing was claimed');
      return batch.seq;
    };
    const stage = async (seq: number) => {
      for (const layer of stream.config.layers)
        await store.stageEntry(
          {
            ...{ streamId: stream.id, seq, layer, sign: 1, configHash: stream.configHash, stats: {}, rDiagonal: [1] },
            keys: sampleMatrix(model.intermediateSize, 1, seq),
            g: sampleMatrix(model.intermediateSize, 1, seq + 1),
            b: sampleMatrix(model.hiddenSize, 1, seq + 2),
          },
          1,
        );
    };
    const commit = (seq: number) => store.commitBatch(stream.id, seq, { targets: 0, keys: 0, update: 0, total: 0 });
    const key = { streamId: stream.id, seq: 1, kind: 'weights' as const, form: 'x' };

    const first = await claimed('a');
    await stage(first);
    await commit(first);
    const kept = tensor(4);
    const { snapshot } = await store.saveSnapshot(key, [kept]);
    const whole = async () => {
      expect((await store.listSnapshots(stream.id)).map(({ form }) => form)).toEqual(['x']);
      const { data } = await store.readSnapshotTensor(snapshot.id, 'delta');
      expect(Buffer.from(data.buffer, data.byteOffset, data.byteLength).equals(Buffer.from(kept.data.buffer))).toBe(
        true,
      );
      expect((await store.verifyLog(stream.id, 1)).problems).toEqual([]);
      expect(await store.getStream(stream.id)).toMatchObject({ head: 1 });
    };

    fill(4 * megabyte);
    await store.saveSnapshot({ ...key, form: 'y' }, [tensor(32)]).then(() => expect.unreachable(), passing);
    await recover();
    await whole();

    const second = await claimed('b');
    fill(0);
    const staging = (async () => {
      await stage(second);
      await commit(second);
    })();
    await staging.then(() => expect.unreachable(), passing);
    await recover();
    await whole();

    await stage(second);
    expect(await commit(second)).toMatchObject({ head: 2 });
    await store.saveSnapshot({ ...key, seq: 2 }, [tensor(8)]);
    expect((await store.verifyLog(stream.id, 2)).problems).toEqual([]);
    expect((await store.listSnapshots(stream.id)).map(({ seq }) => seq)).toEqual([1, 2]);
  }, 180_000);
});
