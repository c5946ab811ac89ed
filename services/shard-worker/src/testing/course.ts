import type { CallLimits, DenseMatrix, LayerQuery, LayerUpdate, StatsResponse } from '@errata/rpc';
import { at, type Bench, layer, limits, random, record } from './harness.js';
import type { Dimensions } from './memory-log.js';

export interface Course {
  readonly updates: readonly LayerUpdate[];
  readonly delta: DenseMatrix;
  readonly stats: StatsResponse;
  /** Where it ended. */
  readonly query: LayerQuery & { readonly peers: readonly string[] };
}

/**
 * Two batches of five, of which two columns are taken out again, on the shares of a worker and its peers. The keys have
 * elements of size 1, as those of a model: 1 + kᵀCk is about d/4, λ_min(I − KᵀCK) its inverse.
 */
export async function course(
  { log, client }: Bench,
  size: Dimensions,
  peers: readonly string[],
  patience: CallLimits = limits,
): Promise<Course> {
  const streamId = log.addStream({ precision: 'fp64' });
  const updates: LayerUpdate[] = [];
  const commit = (seq: number, sign: 1 | -1, update: LayerUpdate) => {
    updates.push(update);
    record(log, streamId, seq, sign, update);
    log.addBatch(streamId, seq, seq - 1);
  };
  for (const seq of [1, 2]) {
    const keys = random(size.inputs, 5, seq);
    const residual = random(size.outputs, 5, seq + 1000);
    const weights = seq === 1 ? [] : [1, 2, 1, 0.5, 1];
    const query = { state: at(streamId, seq - 1), layer, epoch: 1, keys, residual, weights, peers };
    commit(seq, 1, await client.apply(query, patience));
  }
  const columns = [
    { seq: 1, column: 4 },
    { seq: 2, column: 1 },
  ];
  commit(3, -1, await client.revoke({ state: at(streamId, 2), layer, epoch: 1, columns, peers }, patience));
  const query = { state: at(streamId, 3), layer, peers };
  return {
    updates,
    delta: await client.materialize(query, patience),
    stats: await client.stats(query, patience),
    query,
  };
}

/** ‖actual − expected‖ / ‖expected‖; infinite where they differ in length. */
export function relativeDifference(actual: Float32Array, expected: Float32Array): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let difference = 0;
  let whole = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i] - expected[i]) ** 2;
    whole += expected[i] ** 2;
  }
  return Math.sqrt(difference / whole);
}
