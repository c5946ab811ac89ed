import { ErrataError } from '@errata/contracts';
import { type Columns64, measureState, type Update, verifyState } from '@errata/rls';
import {
  type CallContext,
  decodeTensor,
  encodeTensor,
  type ShardServiceServer,
  type StateRef,
  serverStream,
  tensorChunks,
  type UpdateStats,
  unary,
} from '@errata/rpc';
import type { LinearAlgebra } from '@errata/tensor';
import { Epochs } from './epochs.js';
import type { ShardMetrics } from './metrics.js';
import { asColumns } from './shard.js';
import type { ShardCache } from './shard-cache.js';

export interface ServiceParts {
  readonly shards: ShardCache;
  readonly linalg: LinearAlgebra;
  readonly metrics: ShardMetrics;
}

function tensorOf(columns: Columns64) {
  return encodeTensor({ rows: columns.length, columns: columns.count, data: Float32Array.from(columns.data) });
}

function statsOf(update: Update, seconds: number): UpdateStats {
  return { rDiagonal: [...update.rDiagonal], ...update.stats, seconds };
}

function stateOf(state: StateRef | undefined): StateRef {
  if (state === undefined || state.streamId === '')
    throw new ErrataError('INVALID_REQUEST', 'state is missing: name the stream and the seq the request builds on');
  return state;
}

/** W − W₀ as it travels: dₒ × d column-major fp32, from dₒ × d row-major fp64. */
function columnMajor(delta: Float64Array, outputs: number, inputs: number) {
  const data = new Float32Array(delta.length);
  for (let i = 0; i < outputs; i++) for (let j = 0; j < inputs; j++) data[j * outputs + i] = delta[i * inputs + j];
  return { rows: outputs, columns: inputs, data };
}

/** The methods of errata.v1.ShardService. */
export function createService({ shards, linalg, metrics }: ServiceParts): ShardServiceServer {
  const epochs = new Epochs();

  const timed = async <Result>(method: string, work: () => Promise<Result>): Promise<Result> => {
    const stop = metrics.requestSeconds.startTimer({ method });
    try {
      const result = await work();
      stop({ outcome: 'ok' });
      return result;
    } catch (error) {
      stop({ outcome: error instanceof ErrataError ? error.code : 'INTERNAL' });
      throw error;
    }
  };
  /** Runs an update on its shard, measuring the update alone. */
  const update = async (
    request: { readonly state?: StateRef | undefined; readonly layer: number; readonly epoch: number },
    context: CallContext,
    compute: (state: Parameters<Parameters<ShardCache['at']>[3]>[0]) => Update,
  ) => {
    const state = stateOf(request.state);
    epochs.admit(state.streamId, request.layer, request.epoch);
    return shards.at(state, request.layer, context.signal, (shard) => {
      // Another owner may have called while this request waited or caught up.
      epochs.admit(state.streamId, request.layer, request.epoch);
      const start = performance.now();
      const result = compute(shard);
      return { result, seconds: (performance.now() - start) / 1000 };
    });
  };

  return {
    apply: unary((request, context) =>
      timed('apply', async () => {
        const keys = asColumns(decodeTensor(request.keys, 'keys'));
        const residual = asColumns(decodeTensor(request.residual, 'residual'));
        const { result, seconds } = await update(request, context, (state) => state.apply(keys, residual));
        return { g: tensorOf(result.g), b: tensorOf(result.b), stats: statsOf(result, seconds) };
      }),
    ),

    revoke: unary((request, context) =>
      timed('revoke', async () => {
        const { result, seconds } = await update(request, context, (state) => state.revoke(request.columns));
        return {
          keys: tensorOf(result.keys),
          g: tensorOf(result.g),
          b: tensorOf(result.b),
          stats: statsOf(result, seconds),
        };
      }),
    ),

    stats: unary((request, context) =>
      timed('stats', () =>
        shards.at(stateOf(request.state), request.layer, context.signal, (state) => measureState(linalg, state)),
      ),
    ),

    materialize: serverStream(async function* (request, context) {
      const matrix = await timed('materialize', () =>
        shards.at(stateOf(request.state), request.layer, context.signal, (state) =>
          columnMajor(state.delta(), state.outputs, state.inputs),
        ),
      );
      for (const chunk of tensorChunks(request.layer, matrix)) yield { chunk };
    }),

    verify: unary((request, context) =>
      timed('verify', () =>
        shards.at(stateOf(request.state), request.layer, context.signal, (state) => verifyState(linalg, state)),
      ),
    ),
  };
}
