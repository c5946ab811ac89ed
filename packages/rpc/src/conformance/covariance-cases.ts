import type { PlanCovarianceRequest } from '../generated/errata/v1/model_runtime.js';
import { type DenseMatrix, TensorAssembler } from '../tensor.js';
import { type Case, collect, demand, demandRefusal, relativeDifference, type Subject } from './case.js';

/** Small, so that a slow runtime is done in a minute. */
const TOKENS = 1000;

function requestOf({ info }: Subject): PlanCovarianceRequest {
  return { modelId: info.modelId, source: { kind: { $case: 'builtIn', builtIn: true } }, tokens: TOKENS };
}

async function firstSlice(subject: Subject, layer: number): Promise<{ moment: DenseMatrix; tokens: number }> {
  const { runtime, limits } = subject;
  const plan = requestOf(subject);
  const { corpusId } = await runtime.planCovariance(plan, limits);
  const events = await collect(runtime.covariance({ plan, corpusId, layers: [layer], slice: 0 }, limits));
  let tokens = 0;
  let assembler: TensorAssembler | null = null;
  for (const { event } of events) {
    if (event?.$case === 'summary') tokens = event.summary.tokens;
    if (event?.$case !== 'chunk') continue;
    assembler ??= new TensorAssembler(event.chunk);
    assembler.add(event.chunk);
  }
  demand(assembler !== null, () => 'the slice has no matrix');
  return { moment: assembler.matrix(), tokens };
}

/** PlanCovariance, Covariance. */
export const covarianceCases: readonly Case[] = [
  {
    name: 'covariance: a plan is the same twice and holds the tokens asked for',
    async run(subject) {
      const { runtime, info, limits } = subject;
      const first = await runtime.planCovariance(requestOf(subject), limits);
      const again = await runtime.planCovariance(requestOf(subject), limits);
      demand(JSON.stringify(first) === JSON.stringify(again), () => 'the second plan is another one');
      demand(first.slices > 0, () => 'the plan has no slices');
      demand(first.tokens >= TOKENS, () => `the plan has ${first.tokens} tokens, ${TOKENS} were asked for`);
      demand(first.dimension === info.intermediateSize, () => `its dimension is ${first.dimension}`);
    },
  },
  {
    name: 'covariance: a slice is the packed second moment of its tokens, the same bits twice',
    async run(subject) {
      const [layer] = subject.layers;
      const d = subject.info.intermediateSize;
      const { moment, tokens } = await firstSlice(subject, layer);
      demand(tokens > 0, () => 'the slice counts no tokens');
      const { data } = moment;
      demand(data.length === (d * (d + 1)) / 2, () => `it has ${data.length} elements, not d (d + 1) / 2`);
      const at = (i: number, j: number) => data[(i * (i + 1)) / 2 + j];
      for (let i = 0; i < d; i++)
        for (let j = 0; j <= i; j++) {
          const most = Math.sqrt(at(i, i) * at(j, j)) * (1 + 1e-3) + 1e-9;
          demand(
            Math.abs(at(i, j)) <= most,
            () => `element (${i}, ${j}) is ${at(i, j)}, above ${most}: no second moment`,
          );
        }
      const again = await firstSlice(subject, layer);
      demand(relativeDifference(again.moment.data, data) === 0, () => 'the slice has other bits the second time');
    },
  },
  {
    name: 'covariance: another model, another text and a slice that does not exist are refused',
    async run(subject) {
      const { runtime, limits, layers } = subject;
      const plan = requestOf(subject);
      const { corpusId, slices } = await runtime.planCovariance(plan, limits);
      const ask = (change: object) => () =>
        collect(runtime.covariance({ plan, corpusId, layers: [layers[0]], slice: 0, ...change }, limits));
      await demandRefusal('another model', ['INVALID_REQUEST', 'UNKNOWN_MODEL'], () =>
        runtime.planCovariance({ ...plan, modelId: 'another' }, limits),
      );
      await demandRefusal('another text', ['INVALID_REQUEST'], ask({ corpusId: 'another' }));
      await demandRefusal(`slice ${slices}`, ['INVALID_REQUEST'], ask({ slice: slices }));
    },
  },
];
