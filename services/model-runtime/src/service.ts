import { KeyFinder, resolveTargets } from '@errata/editor';
import { generate, type Model, type Pause, perplexity, scoreContinuations, secondMoments } from '@errata/model';
import type { ModelRuntimeServiceServer } from '@errata/rpc';
import {
  type CallContext,
  type CovarianceResponse,
  encodeTensor,
  type ResolveTargetsResponse,
  serverStream,
  tensorChunks,
  unary,
} from '@errata/rpc';
import { type Corpus, covarianceSequences, perplexitySequences } from './corpus.js';
import { eventChannel } from './event-channel.js';
import type { RuntimeMetrics } from './metrics.js';
import { asRequestError, checkCount, checkLayer, parseConfig, parseEdits } from './requests.js';
import type { StreamStates } from './stream-states.js';
import { pauseFor, type WorkQueue } from './work-queue.js';

/** Perplexities kept, by state; each is a few seconds of work. */
const maxPerplexities = 64;
/** Most tokens of one generation. */
const maxGeneratedTokens = 1024;

export interface ServiceParts {
  readonly model: Model;
  /** Name the model is registered under. */
  readonly name: string;
  readonly corpus: Corpus;
  readonly states: StreamStates;
  readonly queue: WorkQueue;
  readonly metrics: RuntimeMetrics;
}

/** The methods of errata.v1.ModelRuntimeService. */
export function createService(parts: ServiceParts): ModelRuntimeServiceServer {
  const { model, states, metrics } = parts;
  const keyFinder = new KeyFinder(model);
  const perplexities = new Map<string, { perplexity: number; tokens: number }>();
  const onEngine = engineRunner(parts);

  return {
    info: unary(async () => ({
      modelId: model.id,
      name: parts.name,
      architecture: model.config.architecture,
      layers: model.config.layers,
      hiddenSize: model.config.hiddenSize,
      intermediateSize: model.config.intermediateSize,
      vocabularySize: model.config.vocabularySize,
      contextLength: model.config.contextLength,
      engine: model.engine.name,
    })),

    resolveTargets: serverStream((request, context) =>
      eventChannel<ResolveTargetsResponse>((emit) =>
        onEngine('resolveTargets', context, async (pause) => {
          const config = parseConfig(request.configJson, model);
          const edits = parseEdits(request.edits);
          const { deltas } = await stateOf(request.state);
          const started = performance.now();
          const { targets, figures } = await resolveTargets(model, edits, config, {
            deltas,
            pause,
            onProgress: (progress) => emit({ event: { $case: 'progress', progress } }),
          });
          metrics.targetSecondsPerEdit.observe((performance.now() - started) / 1000 / edits.length);
          for (const { steps } of figures) metrics.targetSteps.observe(steps);
          const stats = figures.map((f, i) => ({ editId: request.edits[i].editId, ...f }));
          const tensor = encodeTensor({ rows: model.config.hiddenSize, columns: edits.length, data: targets });
          emit({ event: { $case: 'result', result: { targets: tensor, stats } } });
        }),
      ),
    ),

    computeKeys: unary((request, context) =>
      onEngine('computeKeys', context, async (pause) => {
        const config = parseConfig(request.configJson, model);
        const edits = parseEdits(request.edits);
        checkLayer(request.layer, model);
        const { deltas, version } = await stateOf(request.state);
        const found = await keyFinder.find({ edits, config, layer: request.layer, deltas, version, pause });
        const { hiddenSize, intermediateSize } = model.config;
        return {
          keys: encodeTensor({ rows: intermediateSize, columns: edits.length, data: found.keys }),
          hidden: encodeTensor({ rows: hiddenSize, columns: edits.length, data: found.hidden }),
        };
      }),
    ),

    score: unary((request, context) =>
      onEngine('score', context, async (pause) => {
        checkCount('items', request.items.length);
        const { deltas } = await stateOf(request.state);
        return { results: await scoreContinuations(model, request.items, { deltas, pause }) };
      }),
    ),

    generate: unary((request, context) =>
      onEngine('generate', context, async (pause) => {
        checkCount('prompts', request.prompts.length);
        const { deltas } = await stateOf(request.state);
        const maxTokens = Math.min(request.maxTokens, maxGeneratedTokens);
        return { texts: await generate(model, request.prompts, { maxTokens, stop: request.stop, deltas, pause }) };
      }),
    ),

    perplexity: unary((request, context) =>
      onEngine('perplexity', context, async (pause) => {
        const { deltas, name } = await stateOf(request.state);
        const known = perplexities.get(name);
        if (known) return known;
        const { sequences } = perplexitySequences(model.tokenizer, parts.corpus);
        const measured = await perplexity(model, sequences, { deltas, pause });
        if (perplexities.size >= maxPerplexities)
          perplexities.delete([...perplexities.keys()].find((key) => key !== 'base') ?? name);
        perplexities.set(name, measured);
        return measured;
      }),
    ),

    covariance: serverStream((request, context) =>
      eventChannel<CovarianceResponse>((emit) =>
        onEngine('covariance', context, async (pause) => {
          checkCount('layers', request.layers.length);
          checkCount('tokens', Math.min(1, request.tokens));
          for (const layer of request.layers) checkLayer(layer, model);
          const { sequences, corpusId } = covarianceSequences(model.tokenizer, parts.corpus, request.tokens);
          const tokensTotal = sequences.reduce((sum, ids) => sum + ids.length, 0);
          const { moments, tokens } = await secondMoments(model, sequences, request.layers, {
            pause,
            onProgress: (tokensDone) => emit({ event: { $case: 'progress', progress: { tokensDone, tokensTotal } } }),
          });
          const size = model.config.intermediateSize;
          for (const [layer, data] of moments)
            for (const chunk of tensorChunks(layer, { rows: size, columns: size, data }))
              emit({ event: { $case: 'chunk', chunk } });
          emit({ event: { $case: 'summary', summary: { tokens, corpusId } } });
        }),
      ),
    ),
  };

  async function stateOf(state: Parameters<StreamStates['at']>[0]) {
    const found = await states.at(state);
    metrics.catchUpEntries.observe(found.entriesRead);
    return found;
  }
}

type Method = Exclude<keyof ModelRuntimeServiceServer, number | symbol>;

/** Runs work on the engine in turn, timed, with the errors of this boundary. */
function engineRunner({ queue, metrics }: ServiceParts) {
  return async <Result>(
    method: Method,
    context: CallContext,
    work: (pause: Pause) => Promise<Result>,
  ): Promise<Result> => {
    const arrived = performance.now();
    const turn = queue.run(context.signal, async () => {
      const began = performance.now();
      metrics.waiting.set(queue.waiting);
      metrics.queueSeconds.observe({ method }, (began - arrived) / 1000);
      let outcome = 'error';
      try {
        const result = await work(pauseFor(context.signal));
        outcome = 'ok';
        return result;
      } catch (error) {
        throw asRequestError(error);
      } finally {
        metrics.requestSeconds.observe({ method, outcome }, (performance.now() - began) / 1000);
      }
    });
    metrics.waiting.set(queue.waiting);
    return turn;
  };
}
