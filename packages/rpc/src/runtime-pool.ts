import { ErrataError, toErrataError } from '@errata/contracts';
import { connectModelRuntime, type ModelRuntime } from './client.js';
import { isDiscovered } from './discovery.js';
import { type FleetOptions, watchFleet } from './fleet.js';
import type { StateRef } from './generated/errata/v1/tensor.js';
import { connectHealth, type HealthClient } from './health-client.js';

/** Time a runtime has to answer a health check: one that computes answers between two steps. */
const checkTimeoutMs = 10_000;

export type RuntimePoolOptions = Pick<
  FleetOptions<ModelRuntime>,
  'intervalMs' | 'discoveryMs' | 'onChange' | 'resolver'
>;

/**
 * Several runtimes of one model as one. Each stream has its home, by rendezvous hashing of its id, whose caches know it;
 * while that is down the stream goes to another, which reads the log anew. Slices of a covariance are spread like streams.
 * A runtime that serves another model than the first that answered counts as down.
 *
 * Every call throws ErrataError NOT_READY while no runtime is up, or known yet.
 */
export function connectModelRuntimes(addresses: readonly string[], options: RuntimePoolOptions): ModelRuntime {
  if (addresses.length === 1 && !isDiscovered(addresses[0])) {
    options.onChange(addresses[0], 'up', 'start');
    return connectModelRuntime(addresses[0]);
  }
  let modelId: string | null = null;

  const healthOf = (runtime: ModelRuntime): HealthClient => {
    const health = connectHealth(runtime.address, 'model-runtime');
    let known = false;
    return {
      async check({ signal }) {
        const limits = { timeoutMs: checkTimeoutMs, signal };
        try {
          await health.check(limits);
          if (!known) {
            const info = await runtime.info(limits);
            modelId ??= info.modelId;
            if (info.modelId !== modelId)
              throw new ErrataError(
                'NOT_READY',
                `model-runtime ${runtime.address} serves the model ${info.modelId} (${info.name}), the others ${modelId}: give all the same file, or list it under an orchestrator of its own`,
              );
          }
          known = true;
        } catch (error) {
          // It may have been started again with another file.
          if (toErrataError(error).code !== 'DEADLINE_EXCEEDED') known = false;
          throw error;
        }
      },
      close: () => health.close(),
    };
  };
  const fleet = watchFleet({ ...options, kind: 'model runtime', addresses, connect: connectModelRuntime, healthOf });

  const place = (key: string) => {
    const { owner } = fleet.place(key, 0);
    return { owner, peers: [], standsIn: false };
  };
  const unary = async <Result>(key: string, call: (runtime: ModelRuntime) => Promise<Result>): Promise<Result> =>
    fleet.watch(place(key), ({ owner }) => call(owner));
  async function* stream<Message>(
    key: string,
    call: (runtime: ModelRuntime) => AsyncIterable<Message>,
  ): AsyncGenerator<Message> {
    const placement = place(key);
    try {
      yield* call(placement.owner);
    } catch (error) {
      await fleet.watch(placement, () => Promise.reject(error));
    }
  }
  const streamOf = ({ state }: { state?: StateRef | undefined }): string => state?.streamId ?? '';

  return {
    address: addresses.join(','),
    info: (limits) => unary('', (runtime) => runtime.info(limits)),
    resolveTargets: (request, limits) =>
      stream(streamOf(request), (runtime) => runtime.resolveTargets(request, limits)),
    computeKeys: (request, limits) => unary(streamOf(request), (runtime) => runtime.computeKeys(request, limits)),
    score: (request, limits) => unary(streamOf(request), (runtime) => runtime.score(request, limits)),
    generate: (request, limits) => unary(streamOf(request), (runtime) => runtime.generate(request, limits)),
    generateStream: (request, limits) =>
      stream(streamOf(request), (runtime) => runtime.generateStream(request, limits)),
    perplexity: (request, limits) => unary(streamOf(request), (runtime) => runtime.perplexity(request, limits)),
    divergence: (request, limits) => unary(streamOf(request), (runtime) => runtime.divergence(request, limits)),
    planCovariance: (request, limits) => unary('', (runtime) => runtime.planCovariance(request, limits)),
    covariance: (request, limits) =>
      stream(`${request.corpusId} ${request.slice}`, (runtime) => runtime.covariance(request, limits)),
    snapshot: (request, limits) => unary(request.streamId, (runtime) => runtime.snapshot(request, limits)),
    tokenize: (request, limits) => unary('', (runtime) => runtime.tokenize(request, limits)),
    export: (request, limits) => stream(request.streamId, (runtime) => runtime.export(request, limits)),
    discardExport: (request, limits) => unary('', (runtime) => runtime.discardExport(request, limits)),
    close: () => fleet.close(),
  };
}
