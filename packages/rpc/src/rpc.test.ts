import { ErrataError } from '@errata/contracts';
import { type ClientDuplexStream, credentials, Metadata, makeGenericClientConstructor } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  type ApplyRequest,
  type ApplyResponse,
  bidi,
  chunkBytes,
  connectShardWorker,
  decodeTensor,
  ElementType,
  encodeTensor,
  type MaterializeRequest,
  type MatrixOf,
  maxUpdateBytes,
  type ProductRequest,
  type ProductResponse,
  type RunningServer,
  ShardServiceService,
  type ShardWorker,
  type StatsRequest,
  type StatsResponse,
  serve,
  serverStream,
  TensorCollector,
  tensorChunks,
  unary,
} from './index.js';
import { ServerReflectionClient } from './testing/reflection-client.js';

const noState = { state: undefined, layer: 1 };
const limits = { timeoutMs: 5000 };
const statistics: StatsResponse = {
  deltaNorm: 1,
  deltaBound: 2,
  anchorDeviation: 0,
  rank: 3,
  effectiveRank: 3,
  conditionEstimate: 10,
  information: 0.5,
  spectralNorm: 1,
  lambdaMinS: 1,
  lambdaMinT: 0.5,
  symmetryError: 0,
  capacityLeft: 0.75,
  editedNorm: 0.25,
  boundShare: 0.5,
  logDeviation: 0,
};
const updateStats = {
  rDiagonal: [1],
  keyNorm: 1,
  residualNorm: 1,
  updateNorm: 1,
  lambdaMin: 1,
  seconds: 0,
  byInversion: false,
};
const numbers = (rows: number, columns: number) => ({
  rows,
  columns,
  data: Float32Array.from({ length: rows * columns }, (_, i) => i / 7),
});
const matrix = numbers(700, 500);

let server: RunningServer;
let client: ShardWorker;
let cancelled: Promise<void>;
let received = 0;

beforeAll(async () => {
  let reportCancel = () => {};
  cancelled = new Promise((resolve) => {
    reportCancel = resolve;
  });
  const untilAborted = (signal: AbortSignal) =>
    new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => {
        reportCancel();
        reject(signal.reason);
      });
    });
  const boom = unary(async () => Promise.reject(new Error('boom')));
  server = await serve('127.0.0.1:0', [
    {
      name: 'errata.v1.ShardService',
      definition: ShardServiceService,
      implementation: {
        stats: unary<StatsRequest, StatsResponse>(async (request, { signal }) => {
          if (request.layer === 9) throw new ErrataError('STALE_EPOCH', 'epoch 3 is older than 4');
          if (request.layer === 8) await untilAborted(signal);
          return statistics;
        }),
        materialize: serverStream(async function* (_: MaterializeRequest) {
          for (const chunk of tensorChunks(4, matrix)) yield { chunk };
        }),
        // Sends back what it got; layer 9 is refused at its header, layer 7 never answered.
        apply: bidi<ApplyRequest, ApplyResponse>(async function* (requests, { signal }) {
          const tensors = new TensorCollector(['keys', 'residual'], maxUpdateBytes);
          for await (const { part } of requests) {
            received++;
            if (part?.$case === 'header') {
              if (part.header.layer === 9) throw new ErrataError('STALE_EPOCH', 'epoch 3 is older than 4');
              if (part.header.layer === 7) await untilAborted(signal);
            } else tensors.add(part?.chunk);
          }
          const keys = tensors.matrix('keys');
          for (const [name, tensor] of Object.entries({ keys, g: keys, b: tensors.matrix('residual') }))
            for (const chunk of tensorChunks(1, tensor, name)) yield { part: { $case: 'chunk', chunk } };
          yield { part: { $case: 'stats', stats: updateStats } };
        }),
        product: bidi<ProductRequest, ProductResponse>(async function* (requests) {
          const tensors = new TensorCollector(['keys'], maxUpdateBytes);
          for await (const { part } of requests) if (part?.$case === 'chunk') tensors.add(part.chunk);
          const product = tensors.matrix64('keys');
          for (const chunk of tensorChunks(1, product, 'product')) yield { chunk };
        }),
        revoke: serverStream(() => {
          throw new Error('boom');
        }),
        verify: boom,
        prepare: boom,
        refresh: boom,
        fold: boom,
      },
    },
  ]);
  client = connectShardWorker(server.address);
});

afterAll(async () => {
  client.close();
  await server.stop(100);
});

test('answers a unary call', async () => {
  expect(await client.stats(noState, limits)).toEqual(statistics);
});

test('carries the code of an error across the wire', async () => {
  const stale = { code: 'STALE_EPOCH', message: 'epoch 3 is older than 4', retryable: true };
  await expect(client.stats({ ...noState, layer: 9 }, limits)).rejects.toMatchObject(stale);
  // Refused while the peer is still sending.
  const large = numbers(chunkBytes, 8);
  received = 0;
  await expect(
    client.apply({ ...noState, layer: 9, epoch: 3, keys: large, residual: matrix }, limits),
  ).rejects.toMatchObject(stale);
  expect(received).toBe(1);
  await expect(client.revoke({ ...noState, epoch: 3, columns: [] }, limits)).rejects.toMatchObject({
    code: 'INTERNAL',
    message: 'boom',
  });
});

test('tells the server when a caller gives up', async () => {
  const abort = new AbortController();
  const failure = client.stats({ ...noState, layer: 8 }, { timeoutMs: 60_000, signal: abort.signal });
  setTimeout(() => abort.abort(), 50);
  await expect(failure).rejects.toMatchObject({ code: 'CANCELLED' });
  await cancelled;
});

test('ends a call with streams both ways at its deadline', async () => {
  const keys = numbers(chunkBytes, 8);
  const call = client.apply({ ...noState, layer: 7, epoch: 1, keys, residual: matrix }, { timeoutMs: 100 });
  await expect(call).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
});

test('a call without a deadline is refused', async () => {
  const Client = makeGenericClientConstructor(ShardServiceService, 'ShardService');
  const bare = new Client(server.address, credentials.createInsecure());
  const stats = () =>
    new Promise((resolve, reject) =>
      bare.stats({ ...noState, peers: [] }, (error: Error | null, value: unknown) =>
        error ? reject(error) : resolve(value),
      ),
    );
  await expect(stats()).rejects.toThrow('errata.v1.ShardService/Stats needs a deadline');
  const apply: ClientDuplexStream<ApplyRequest, ApplyResponse> = bare.apply(new Metadata());
  const failed = new Promise((_, reject) => apply.on('error', reject).resume());
  await expect(failed).rejects.toThrow('errata.v1.ShardService/Apply needs a deadline');
  bare.close();
});

test('a peer that is not there is retryable', async () => {
  const nobody = connectShardWorker('127.0.0.1:1');
  await expect(nobody.stats(noState, { timeoutMs: 2000 })).rejects.toMatchObject({
    code: 'NOT_READY',
    retryable: true,
  });
  nobody.close();
});

test('streams tensors in chunks and puts them together', async () => {
  // Element by element, expect takes seconds for these.
  const same = (actual: MatrixOf<Float32Array | Float64Array>, wanted: MatrixOf<Float32Array | Float64Array>) => {
    expect([actual.rows, actual.columns]).toEqual([wanted.rows, wanted.columns]);
    const bytes = ({ data }: typeof wanted) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    expect(bytes(actual).equals(bytes(wanted))).toBe(true);
  };
  same(await client.materialize(noState, limits), matrix);
  const keys = numbers(1000, 700);
  const update = await client.apply({ ...noState, epoch: 1, keys, residual: matrix }, limits);
  same(update.keys, keys);
  same(update.g, keys);
  same(update.b, matrix);
  expect(update.stats).toEqual(updateStats);
  const wide = { rows: 700, columns: 500, data: Float64Array.from(matrix.data, (x) => x + 1e-12) };
  const query = { ...noState, epoch: 1, share: { index: 1, count: 2 }, keys: wide };
  const { product, residual } = await client.product(query, limits);
  same(product, wide);
  expect(residual).toBeNull();
});

test('refuses a tensor whose bytes do not fit its shape', () => {
  const message = encodeTensor({ rows: 2, columns: 2, data: new Float32Array(4) });
  expect(() => decodeTensor({ ...message, columns: 3 }, 'keys')).toThrow(
    'keys is 2 × 3 but holds 16 bytes instead of 24',
  );
  expect(() => decodeTensor(undefined, 'keys')).toThrow('keys is missing');
});

test('refuses chunks that are too many, too few, unknown or out of order', () => {
  const [first, second] = [...tensorChunks(1, matrix, 'keys')];
  const collector = () => new TensorCollector(['keys'], maxUpdateBytes);
  expect(() => collector().add({ ...first, name: 'other' })).toThrow('tensor "other" is not expected, only keys');
  expect(() => collector().add(second)).toThrow('does not follow byte 0');
  expect(() => collector().matrix('keys')).toThrow('keys is missing');
  const begun = collector();
  begun.add(first);
  expect(() => begun.matrix('keys')).toThrow(`${700 * 500 * 4 - chunkBytes} bytes of keys of layer 1 are missing`);
  expect(() => begun.add({ ...second, element: ElementType.ELEMENT_TYPE_FLOAT64 })).toThrow('does not follow');
  // The size is refused by what is announced, before anything of it is kept.
  const announced = { ...first, rows: 2 ** 31, columns: 2 ** 20 };
  expect(() => collector().add(announced)).toThrow(expect.objectContaining({ code: 'PAYLOAD_TOO_LARGE' }));
});

test('describes its services to a reflection client', async () => {
  const reflection = new ServerReflectionClient(server.address);
  expect(await reflection.services()).toEqual(['errata.v1.ShardService']);
  const { files, methods } = await reflection.describe('errata.v1.ShardService');
  expect(files).toContain('errata/v1/tensor.proto');
  expect(methods).toEqual(Object.values(ShardServiceService).map(({ path }) => path.split('/')[2]));
  reflection.close();
});
