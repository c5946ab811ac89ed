import { ErrataError } from '@errata/contracts';
import { type CovarianceRequest, type CovarianceResponse, tensorChunks } from '@errata/rpc';
import type { Dependencies } from '../activities/context.js';

export const dimension = 5;
const slices = 3;

/** A runtime whose slices follow from their place; `lose` ends the stream of one before its last layer, once. */
export function runtimeWith(corpusId: string, lose: { slice: number } | null = null) {
  const requests: CovarianceRequest[] = [];
  let left = lose;
  const runtime = {
    planCovariance: async () => ({ corpusId, tokens: 3100, slices, dimension }),
    async *covariance(request: CovarianceRequest): AsyncGenerator<CovarianceResponse> {
      requests.push(request);
      const { slice, layers } = request;
      const tokens = slice === slices - 1 ? 1100 : 1000;
      yield { event: { $case: 'progress', progress: { tokensDone: tokens, tokensTotal: tokens } } };
      yield { event: { $case: 'summary', summary: { tokens } } };
      for (const layer of layers) {
        if (left?.slice === slice && layer === layers.at(-1)) {
          left = null;
          throw new ErrataError('NOT_READY', 'the runtime is gone');
        }
        const data = Float32Array.from({ length: 15 }, (_, i) => Math.sin(layer * 91 + slice * 17 + i) / 3);
        for (const chunk of tensorChunks(layer, { rows: 15, columns: 1, data }))
          yield { event: { $case: 'chunk', chunk } };
      }
    },
  } as unknown as Dependencies['runtime'];
  return { requests, runtime };
}
