import { ErrataError } from '@errata/contracts';
import { mergeStats, type StateStats } from '@errata/rls';
import {
  type CallContext,
  type CallLimits,
  chunkBytes,
  type DenseMatrix,
  type LayerQuery,
  type MaterializeResponse,
  type ShardServiceServer,
  type ShardShare,
  type ShardWorker,
  type StateRef,
  type StatsResponse,
  serverStream,
  tensorChunks,
  unary,
} from '@errata/rpc';
import type { StateReport } from './engine-protocol.js';
import { stateOf, type Timed } from './requests.js';
import type { ServiceParts } from './service.js';
import type { Shard } from './shard.js';
import { shareOf, together } from './shares.js';

interface LayerCall {
  readonly state?: StateRef | undefined;
  readonly layer: number;
  readonly peers: readonly string[];
  readonly share?: ShardShare | undefined;
}

/** What needs no epoch: the log stays as it is. */
export function queryMethods(
  { shards, engine, peers, metrics }: ServiceParts,
  timed: Timed,
): Pick<ShardServiceServer, 'prepare' | 'stats' | 'materialize' | 'verify' | 'refresh' | 'fold'> {
  /** Does one thing on all shares of a layer; the answers in the order of the shares. */
  const everywhere = async <Result>(
    request: LayerCall,
    context: CallContext,
    here: (shard: Shard, signal: AbortSignal) => Promise<Result>,
    there: (worker: ShardWorker, query: LayerQuery, limits: CallLimits) => Promise<Result>,
  ): Promise<Result[]> => {
    const target = { state: stateOf(request.state), layer: request.layer, share: shareOf(request) };
    const { own, parts } = await together(
      peers,
      request.peers,
      context,
      (signal) => shards.at(target, signal, (shard) => here(shard, signal)),
      (worker, share, limits) => there(worker, { ...target, share }, limits),
    );
    return [own, ...parts];
  };

  return {
    prepare: unary((request, context) =>
      timed.once('prepare', async () => {
        const start = performance.now();
        const answers = await everywhere(
          request,
          context,
          async ({ parts: { inverse }, report }) => ({
            condition: inverse.condition,
            lambda: inverse.lambda,
            requestedLambda: inverse.requestedLambda,
            precision: inverse.precision,
            rank: report.rank,
            seconds: 0,
            bytes: inverse.bytes + report.bytes,
          }),
          (worker, query, limits) => worker.prepare(query, limits),
        );
        const [first] = answers;
        const other = answers.find(({ lambda }) => lambda !== first.lambda);
        if (other !== undefined)
          throw new ErrataError('INTERNAL', `shares of one layer work with λ ${first.lambda} and ${other.lambda}`);
        const bytes = answers.reduce((sum, answer) => sum + answer.bytes, 0);
        return { ...first, bytes, seconds: (performance.now() - start) / 1000 };
      }),
    ),

    stats: unary((request, context) =>
      timed.once('stats', async () => {
        const answers = await everywhere(
          request,
          context,
          async (shard, signal) => statsOf(shard.noted(await engine.run('stats', shard.input, { signal }))),
          (worker, query, limits) => worker.stats(query, limits),
        );
        if (answers.length === 1) return answers[0];
        return { ...mergeStats(answers), logDeviation: Math.max(...answers.map((a) => a.logDeviation)) };
      }),
    ),

    materialize: serverStream((request, context) =>
      timed.stream('materialize', async () => {
        const parts = await everywhere<DenseMatrix>(
          request,
          context,
          (shard, signal) => engine.run('delta', shard.input, { signal }),
          (worker, query, limits) => worker.materialize(query, limits),
        );
        return matrixMessages(request.layer, parts);
      }),
    ),

    verify: unary((request, context) =>
      timed.once('verify', async () => {
        const answers = await everywhere(
          request,
          context,
          (shard, signal) => shards.inverting(shard, () => engine.run('verify', shard.input, { signal })),
          (worker, query, limits) => worker.verify(query, limits),
        );
        return {
          // The relative error of the whole is at most the largest of its parts.
          weightError: Math.max(...answers.map((a) => a.weightError)),
          covarianceError: Math.max(...answers.map((a) => a.covarianceError)),
          survivingColumns: answers[0].survivingColumns,
        };
      }),
    ),

    refresh: unary((request, context) =>
      timed.once('refresh', async () => {
        const start = performance.now();
        const answers = await everywhere(
          request,
          context,
          async (shard, signal) => {
            const report = await shards.inverting(shard, () => engine.run('refresh', shard.input, { signal }));
            return { deviation: shard.noted(report).found, seconds: 0 };
          },
          (worker, query, limits) => worker.refresh(query, limits),
        );
        const deviation = Math.max(...answers.map((a) => a.deviation));
        metrics.refreshes.inc();
        metrics.refreshDeviation.set(deviation);
        return { deviation, seconds: (performance.now() - start) / 1000 };
      }),
    ),

    fold: unary((request, context) =>
      timed.once('fold', async () => {
        const start = performance.now();
        const [{ rank }] = await everywhere(
          request,
          context,
          async (shard, signal) => ({
            rank: shard.noted(await engine.run('fold', shard.input, { signal })).rank,
            seconds: 0,
          }),
          (worker, query, limits) => worker.fold(query, limits),
        );
        metrics.folds.inc();
        return { rank, seconds: (performance.now() - start) / 1000 };
      }),
    ),
  };
}

function statsOf({ bytes: _, deviation, ...stats }: StateStats & StateReport): StatsResponse {
  return { ...stats, logDeviation: deviation };
}

/** The whole matrix in chunks, column by column out of the row ranges. */
function* matrixMessages(layer: number, parts: readonly DenseMatrix[]): Generator<MaterializeResponse> {
  const [first] = parts;
  if (parts.length === 1) {
    for (const chunk of tensorChunks(layer, first)) yield { chunk };
    return;
  }
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  const { columns } = first;
  const atOnce = Math.max(1, Math.floor(chunkBytes / (4 * rows)));
  for (let start = 0; start < columns; start += atOnce) {
    const count = Math.min(atOnce, columns - start);
    const data = new Float32Array(rows * count);
    for (let j = 0; j < count; j++) {
      let at = j * rows;
      for (const part of parts) {
        data.set(part.data.subarray((start + j) * part.rows, (start + j + 1) * part.rows), at);
        at += part.rows;
      }
    }
    const [slice] = tensorChunks(layer, { rows, columns: count, data });
    yield { chunk: { ...slice, columns, offset: start * rows * 4 } };
  }
}
