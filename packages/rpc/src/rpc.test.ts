import { ErrataError } from '@errata/contracts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  connectShardWorker,
  decodeTensor,
  encodeTensor,
  type RunningServer,
  ShardServiceService,
  type ShardWorker,
  type StatsRequest,
  type StatsResponse,
  serve,
  serverStream,
  TensorAssembler,
  tensorChunks,
  unary,
} from './index.js';

const noState = { state: undefined, layer: 1 };
const statistics: StatsResponse = {
  deltaNorm: 1,
  deltaBound: 2,
  anchorDeviation: 0,
  rank: 3,
  effectiveRank: 3,
  conditionEstimate: 10,
  information: 0.5,
  spectralNorm: 1,
};
const matrix = { rows: 700, columns: 500, data: Float32Array.from({ length: 350_000 }, (_, i) => i / 7) };

let server: RunningServer;
let client: ShardWorker;
let cancelled: Promise<void>;

beforeAll(async () => {
  let reportCancel = () => {};
  cancelled = new Promise((resolve) => {
    reportCancel = resolve;
  });
  server = await serve('127.0.0.1:0', [
    {
      name: 'errata.v1.ShardService',
      definition: ShardServiceService,
      implementation: {
        stats: unary<StatsRequest, StatsResponse>(async (request, { signal }) => {
          if (request.layer === 9) throw new ErrataError('STALE_EPOCH', 'epoch 3 is older than 4');
          if (request.layer === 8)
            await new Promise((_, reject) => {
              signal.addEventListener('abort', () => {
                reportCancel();
                reject(signal.reason);
              });
            });
          return statistics;
        }),
        materialize: serverStream(async function* () {
          for (const chunk of tensorChunks(4, matrix)) yield { chunk };
        }),
        apply: unary(async () => Promise.reject(new Error('boom'))),
        revoke: unary(async () => Promise.reject(new Error('boom'))),
        verify: unary(async () => Promise.reject(new Error('boom'))),
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
  expect(await client.stats(noState, { timeoutMs: 5000 })).toEqual(statistics);
});

test('carries the code of an error across the wire', async () => {
  const failure = client.stats({ ...noState, layer: 9 }, { timeoutMs: 5000 });
  await expect(failure).rejects.toMatchObject({
    code: 'STALE_EPOCH',
    message: 'epoch 3 is older than 4',
    retryable: true,
  });
});

test('tells the server when a caller gives up', async () => {
  const abort = new AbortController();
  const failure = client.stats({ ...noState, layer: 8 }, { timeoutMs: 60_000, signal: abort.signal });
  setTimeout(() => abort.abort(), 50);
  await expect(failure).rejects.toMatchObject({ code: 'CANCELLED' });
  await cancelled;
});

test('a peer that is not there is retryable', async () => {
  const nobody = connectShardWorker('127.0.0.1:1');
  await expect(nobody.stats(noState, { timeoutMs: 2000 })).rejects.toMatchObject({
    code: 'NOT_READY',
    retryable: true,
  });
  nobody.close();
});

test('streams a tensor in chunks and puts it together', async () => {
  let assembler: TensorAssembler | undefined;
  for await (const { chunk } of client.materialize(noState, { timeoutMs: 5000 })) {
    if (!chunk) throw new Error('empty message');
    assembler ??= new TensorAssembler(chunk);
    assembler.add(chunk);
  }
  expect(assembler?.matrix()).toEqual(matrix);
});

test('refuses a tensor whose bytes do not fit its shape', () => {
  const message = encodeTensor({ rows: 2, columns: 2, data: new Float32Array(4) });
  expect(() => decodeTensor({ ...message, columns: 3 }, 'keys')).toThrow(
    'keys is 2 × 3 but holds 16 bytes instead of 24',
  );
  expect(() => decodeTensor(undefined, 'keys')).toThrow('keys is missing');
});
