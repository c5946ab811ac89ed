import { KeyFinder } from '@errata/editor';
import {
  type BaseStates,
  divergenceFromBase,
  type Model,
  perplexity,
  promptIds,
  scoreContinuations,
} from '@errata/model';
import type { ModelRuntimeServiceServer } from '@errata/rpc';
import { encodeTensor, type ResolveTargetsResponse, serverStream, unary } from '@errata/rpc';
import type { Store } from '@errata/store';
import { type Corpus, perplexitySequences } from './corpus.js';
import { covarianceMethods } from './covariance-service.js';
import { createEngineRunner } from './engine-runner.js';
import { eventChannel } from './event-channel.js';
import { type ExportParts, exportMethods } from './export-service.js';
import { generationMethods } from './generation.js';
import type { RuntimeMetrics } from './metrics.js';
import { checkCount, checkLayer, parseConfig, parseEdits } from './requests.js';
import { snapshotMethods } from './snapshot-service.js';
import type { StreamStates } from './stream-states.js';
import { type SearchLimits, TargetSearches } from './target-searches.js';
import type { WeightSnapshots } from './weight-snapshots.js';
import type { WorkQueue } from './work-queue.js';

/** Perplexities kept, by state; each is a few seconds of work. */
const maxPerplexities = 64;

export interface ServiceParts {
  readonly model: Model;
  /** Name the model is registered under. */
  readonly name: string;
  readonly corpus: Corpus;
  /** Uploaded texts. */
  readonly corpora: Pick<Store, 'readCorpus'>;
  /** Where exports come from and go to; without it they are refused. */
  readonly exports?: ExportParts;
  readonly states: StreamStates;
  /** Where folds of the states are kept; nowhere when left out. */
  readonly snapshots?: WeightSnapshots;
  readonly queue: WorkQueue;
  readonly metrics: RuntimeMetrics;
  readonly limits: SearchLimits;
}

/** The methods of errata.v1.ModelRuntimeService. */
export function createService(parts: ServiceParts): ModelRuntimeServiceServer {
  const { model, metrics } = parts;
  const keyFinder = new KeyFinder(model, { memoryBytes: parts.limits.memoryBytes });
  const perplexities = new Map<string, { perplexity: number; tokens: number }>();
  const baseStates: BaseStates = new Map();
  const engine = createEngineRunner(parts);
  const searches = new TargetSearches(parts);

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
      eventChannel<ResolveTargetsResponse>((emit) => searches.resolve(request, context, (event) => emit({ event }))),
    ),

    computeKeys: unary((request, context) =>
      engine.run('computeKeys', context, async ({ pause, stateOf }) => {
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
      engine.run('score', context, async ({ pause, stateOf }) => {
        checkCount('items', request.items.length);
        const { deltas } = await stateOf(request.state);
        return { results: await scoreContinuations(model, request.items, { deltas, pause }) };
      }),
    ),

    ...generationMethods(model, engine, metrics),

    perplexity: unary((request, context) =>
      engine.run('perplexity', context, async ({ pause, stateOf }) => {
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

    divergence: unary((request, context) =>
      engine.run('divergence', context, async ({ pause, stateOf }) => {
        const { deltas } = await stateOf(request.state);
        const { sequences } = perplexitySequences(model.tokenizer, parts.corpus);
        const windows = request.windows === 0 ? sequences : sequences.slice(0, request.windows);
        return divergenceFromBase(model, windows, { deltas, pause }, baseStates);
      }),
    ),

    ...covarianceMethods(parts, engine),

    ...snapshotMethods(parts.states, parts.snapshots ?? null, engine),
    ...exportMethods(parts),

    tokenize: unary(async ({ texts }) => {
      checkCount('texts', texts.length);
      return { texts: texts.map((text) => ({ ids: promptIds(model, text) })) };
    }),
  };
}
