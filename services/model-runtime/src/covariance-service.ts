import { ErrataError } from '@errata/contracts';
import { secondMoments } from '@errata/model';
import {
  type CovarianceResponse,
  type ModelRuntimeServiceServer,
  serverStream,
  tensorChunks,
  unary,
} from '@errata/rpc';
import { CovariancePlans, type PlanParts } from './covariance-plan.js';
import type { EngineRunner } from './engine-runner.js';
import { eventChannel } from './event-channel.js';
import { checkCount, checkLayer } from './requests.js';

type Methods = Pick<ModelRuntimeServiceServer, 'planCovariance' | 'covariance'>;
/** The methods of errata.v1.ModelRuntimeService that make covariances. */
export function covarianceMethods(parts: PlanParts, engine: EngineRunner): Methods {
  const { model } = parts;
  const plans = new CovariancePlans(parts);
  return {
    planCovariance: unary((request, context) =>
      engine.run('planCovariance', context, async ({ pause }) => {
        const { corpusId, tokens, slices } = await plans.find(request, pause);
        return { corpusId, tokens, slices: slices.length, dimension: model.config.intermediateSize };
      }),
    ),

    covariance: serverStream((request, context) =>
      eventChannel<CovarianceResponse>((emit) =>
        engine.run('covariance', context, async ({ pause }) => {
          checkCount('layers', request.layers.length);
          for (const layer of request.layers) checkLayer(layer, model);
          const plan = await plans.find(request.plan, pause);
          if (plan.corpusId !== request.corpusId)
            throw new ErrataError(
              'INVALID_REQUEST',
              `the slices belong to the text ${request.corpusId}, the source reads ${plan.corpusId} now: plan again`,
            );
          const slice = plan.slices[request.slice];
          if (!slice)
            throw new ErrataError(
              'INVALID_REQUEST',
              `slice ${request.slice} does not exist: the plan has ${plan.slices.length}`,
            );
          const tokensTotal = slice.tokens;
          const onProgress = (tokensDone: number) =>
            emit({ event: { $case: 'progress', progress: { tokensDone, tokensTotal } } });
          // Where the text is sampled, that is nearly all of the work.
          let sampled = false;
          const sequences = await slice.sequences({
            pause,
            onProgress: (tokens) => {
              sampled = true;
              onProgress(tokens);
            },
          });
          const { moments, tokens } = await secondMoments(model, sequences, request.layers, {
            pause,
            ...(sampled ? {} : { onProgress }),
          });
          emit({ event: { $case: 'summary', summary: { tokens } } });
          for (const [layer, square] of moments)
            for (const chunk of tensorChunks(layer, packed(square, model.config.intermediateSize)))
              emit({ event: { $case: 'chunk', chunk } });
        }),
      ),
    ),
  };
}

/** The lower triangle of a symmetric matrix by rows. */
function packed(square: Float32Array, size: number): { rows: number; columns: number; data: Float32Array } {
  const data = new Float32Array((size * (size + 1)) / 2);
  for (let row = 0, at = 0; row < size; at += ++row) data.set(square.subarray(row * size, row * size + row + 1), at);
  return { rows: data.length, columns: 1, data };
}
