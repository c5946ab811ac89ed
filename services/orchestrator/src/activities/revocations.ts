import type { LayerDeviation } from '@errata/contracts';
import { type Dependencies, placeLayer, shardTimeoutMs } from './context.js';

/** Ends a revocation whose batches are committed; with `verify`, after every layer was recomputed in fp64. */
export async function finishRevocation(
  dependencies: Dependencies,
  { streamId, revocationId, verify }: { streamId: string; revocationId: string; verify: boolean },
  signal: AbortSignal,
): Promise<void> {
  const deviation = verify ? await deviationAtHead(dependencies, streamId, signal) : null;
  await dependencies.store.finishRevocation(streamId, revocationId, deviation);
}

/** Errors of every layer against the closed form; one layer after the other, since each takes dense matrices of its worker. */
async function deviationAtHead(
  dependencies: Dependencies,
  streamId: string,
  signal: AbortSignal,
): Promise<LayerDeviation[]> {
  const stream = await dependencies.store.getStream(streamId);
  const state = { streamId, seq: stream.head, staged: [] };
  const found: LayerDeviation[] = [];
  for (const layer of stream.config.layers) {
    const placement = placeLayer(dependencies, stream, layer);
    const { weightError, covarianceError } = await dependencies.fleet.watch(placement, ({ owner, peers }) =>
      owner.verify({ state, layer, peers }, { timeoutMs: shardTimeoutMs, signal }),
    );
    found.push({ layer, weightError, covarianceError });
  }
  return found;
}
