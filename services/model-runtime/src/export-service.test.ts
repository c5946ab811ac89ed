import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ErrataError, exportManifestSchema, type Stream } from '@errata/contracts';
import { readImport } from '@errata/export';
import { type Model, openModelFiles } from '@errata/model';
import { difference, expectedOf, ggufOf, load, runWhole } from '@errata/model/architecture-testing';
import {
  connectModelRuntime,
  type ExportRequest,
  type ModelRuntime,
  ModelRuntimeServiceService,
  type RunningServer,
  serve,
} from '@errata/rpc';
import type { StoredLogEntry } from '@errata/store';
import { createRegistry } from '@errata/telemetry';
import { createEngine } from '@errata/tensor';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { defaultLimits } from './config.js';
import { createMetrics } from './metrics.js';
import { createService } from './service.js';
import { StreamStates } from './stream-states.js';
import { MemoryLog, testConfig } from './testing/memory-log.js';
import { WorkQueue } from './work-queue.js';

const logHash = 'a'.repeat(64);
const limits = { timeoutMs: 60_000 };

describe('exports over gRPC', () => {
  let model: Model;
  let states: StreamStates;
  let server: RunningServer;
  let client: ModelRuntime;
  let root: string;
  let exports = 0;
  let request: ExportRequest;

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'errata-runtime-'));
    const files = await ggufOf('llama3');
    model = await load(await createEngine(), files);
    const log = new MemoryLog(model);
    const store = {
      lineage: log.lineage.bind(log),
      readEntries: log.readEntries.bind(log),
      getStream: async (id: string) => ({ ...(await log.getStream(id)), id, name: 'facts', configHash: 'c' }),
      hashAt: async () => logHash,
    };
    states = new StreamStates(model, log);
    const implementation = createService({
      model,
      name: 'tiny',
      corpus: { train: [], heldOut: [] } as never,
      corpora: { readCorpus: () => Promise.reject(new Error('not part of this test')) },
      exports: { path: files.path, root, store },
      limits: defaultLimits,
      states,
      queue: new WorkQueue(),
      metrics: createMetrics(createRegistry('test')),
    });
    server = await serve('127.0.0.1:0', [
      { name: 'errata.v1.ModelRuntimeService', definition: ModelRuntimeServiceService, implementation },
    ]);
    client = connectModelRuntime(server.address);
  });
  afterAll(async () => {
    client.close();
    await server.stop(100);
    await rm(root, { recursive: true });
  });
  beforeEach(() => {
    const id = `exp_${exports++}`;
    request = {
      exportId: id,
      streamId: 'str_a',
      seq: 2,
      logHash,
      format: 'gguf',
      dtype: 'fp32',
      maxRank: 64,
      destination: `folder-${id}`,
    };
  });

  async function run(changes: Partial<ExportRequest> = {}, signal?: AbortSignal) {
    for await (const { event } of client.export({ ...request, ...changes }, { ...limits, signal }))
      if (event?.$case === 'manifestJson') return exportManifestSchema.parse(JSON.parse(event.manifestJson));
    throw new Error('there was no manifest');
  }
  const codeOf = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => 'none',
      (error: unknown) => (error instanceof ErrataError ? error.code : 'other'),
    );

  it('writes the model of a position, which answers as the stream does', async () => {
    const manifest = await run();
    expect(manifest.layers).toMatchObject([
      { layer: 0, columns: 4 },
      { layer: 1, columns: 4 },
    ]);
    const expected = expectedOf('llama3');
    const { deltas } = await states.at({ streamId: 'str_a', seq: 2, staged: [] });
    const edited = await runWhole(model, expected, deltas);
    const files = await openModelFiles(join(root, request.destination, manifest.files[0].name));
    const loaded = await load(model.engine, files);
    expect(difference((await runWhole(loaded, expected)).logits, edited.logits)).toBeLessThan(1e-5);
    expect(difference(edited.logits, expected.logits)).toBeGreaterThan(0.01);
    expect(await run()).toEqual(manifest);
    await client.discardExport({ ...request, published: true }, limits);
    expect(await readdir(root)).toEqual([]);
  });

  it('writes an adapter that another stream begins with: the same answers to the last bit', async () => {
    const { model: identity } = await run({ format: 'peft' });
    const { layers: count, hiddenSize, intermediateSize } = model.config;
    const { layers, own } = await readImport(join(root, request.destination), {
      ...identity,
      layers: count,
      hiddenSize,
      intermediateSize,
    });
    expect(own).toBe(true);
    const entryOf = (streamId: string, layer: number): StoredLogEntry => {
      const factors = layers.find((one) => one.layer === layer)!;
      const [columns, none] = [factors.rank, new Float32Array(0)];
      return {
        ...{ streamId, seq: 1, layer, sign: 1, rDiagonal: [], stats: {}, configHash: '', previousHash: '', hash: '' },
        keys: { rows: intermediateSize, columns: 0, data: none },
        // A shard scales both by powers of two.
        g: { rows: intermediateSize, columns, data: factors.g.map((x) => x / 4) },
        b: { rows: hiddenSize, columns, data: factors.b.map((x) => x * 4) },
      };
    };
    const begun = new StreamStates(model, {
      getStream: async () => ({ config: testConfig, modelId: model.id }) as Stream,
      lineage: async () => ({ seqs: [1], forked: true }),
      readEntries: async (streamId, layer) => [entryOf(streamId, layer)],
    });
    const expected = expectedOf('llama3');
    const logitsOf = async (from: StreamStates, streamId: string, seq: number) =>
      (await runWhole(model, expected, (await from.at({ streamId, seq, staged: [] })).deltas)).logits;
    expect(await logitsOf(begun, 'str_next', 1)).toEqual(await logitsOf(states, 'str_a', 2));
    await client.discardExport({ ...request, published: true }, limits);
  });

  it('writes an adapter of the unedited position, which changes nothing', async () => {
    const manifest = await run({ format: 'peft', seq: 0 });
    expect(manifest.layers).toMatchObject([{ columns: 0, rank: 1, relativeError: 0 }, {}]);
    await client.discardExport({ ...request, published: true }, limits);
  });

  it('keeps what a call that broke off had written until it is discarded', async () => {
    const abort = new AbortController();
    const running = run({}, abort.signal);
    setTimeout(() => abort.abort(), 5);
    const code = await codeOf(running);
    expect(['CANCELLED', 'none']).toContain(code);
    await client.discardExport({ ...request, published: true }, limits);
    expect(await readdir(root)).toEqual([]);
  });

  it.each([
    [{ destination: '../elsewhere' }, 'INVALID_REQUEST'],
    [{ exportId: 'a/b' }, 'INVALID_REQUEST'],
    [{ format: 'zip' }, 'INVALID_REQUEST'],
    [{ dtype: 'bf16' }, 'INVALID_REQUEST'],
    [{ format: 'peft', maxRank: 0 }, 'INVALID_REQUEST'],
    [{ logHash: 'b'.repeat(64) }, 'LOG_CONFLICT'],
    [{ streamId: 'str_b' }, 'UNKNOWN_STREAM'],
  ] as const)('refuses %j with %s and writes nothing', async (changes, code) => {
    expect(await codeOf(run(changes))).toBe(code);
    expect(await readdir(root)).toEqual([]);
  });

  it('tokenises prompts behind the attention sink', async () => {
    const { texts } = await client.tokenize({ texts: ['ab', 'a'] }, limits);
    expect(texts[0].ids.length).toBe(3);
    expect(texts[0].ids[0]).toBe(model.sinkId);
    expect(await codeOf(client.tokenize({ texts: [] }, limits))).toBe('INVALID_REQUEST');
  });
});
