import { createHash } from 'node:crypto';
import { ErrataError } from '@errata/contracts';
import { type Model, type Pause, sampleSequences } from '@errata/model';
import type { PlanCovarianceRequest } from '@errata/rpc';
import type { Store } from '@errata/store';
import { type Corpus, covarianceSequences, textSequences } from './corpus.js';

/**
 * Least tokens of a slice: some seconds of work on a small model. Four times the width of a layer keeps moving the sums
 * (their size grows with its square) cheaper than making them.
 */
const leastSliceTokens = 8192;
const tokensAnInput = 4;
/** Most slices of a plan: each is a few events in the history of a workflow. */
const maxSlices = 256;
/** Tokens of a sampled sequence. */
const sampleTokens = 128;
/** Most tokens of a sampled covariance: hours of sampling. */
const maxSampledTokens = 10_000_000;
/** Part of the id of what is sampled: changes whenever the sampling does. */
const samplerVersion = 1;
/** Plans kept: each holds the tokens of its text. */
const maxPlans = 2;

/** What a covariance is taken over, in slices. */
export interface CovariancePlan {
  readonly corpusId: string;
  readonly tokens: number;
  readonly slices: readonly { readonly tokens: number; readonly sequences: SliceSequences }[];
}

type SliceSequences = (run: { pause: Pause; onProgress: (tokens: number) => void }) => Promise<readonly number[][]>;

export interface PlanParts {
  readonly model: Model;
  readonly corpus: Corpus;
  readonly corpora: Pick<Store, 'readCorpus'>;
}

/** Plans of covariances; those used last are kept, since every slice needs its plan. */
export class CovariancePlans {
  readonly #plans = new Map<string, CovariancePlan>();

  constructor(private readonly parts: PlanParts) {}

  /** @throws INVALID_REQUEST, UNKNOWN_CORPUS, UNKNOWN_MODEL another model is served */
  async find(request: PlanCovarianceRequest | undefined, pause: Pause): Promise<CovariancePlan> {
    if (!request?.source?.kind) throw new ErrataError('INVALID_REQUEST', 'the request names no source');
    if (request.tokens === 0) throw new ErrataError('INVALID_REQUEST', 'the request asks for 0 tokens');
    if (request.modelId !== this.parts.model.id)
      throw new ErrataError(
        'UNKNOWN_MODEL',
        `a covariance of model ${request.modelId} was asked for, this runtime serves ${this.parts.model.id}`,
      );
    const key = JSON.stringify([request.source.kind, request.tokens]);
    const known = this.#plans.get(key);
    const plan = known ?? (await this.#make(request.source.kind, request.tokens, pause));
    this.#plans.delete(key);
    this.#plans.set(key, plan);
    if (this.#plans.size > maxPlans) this.#plans.delete([...this.#plans.keys()][0]);
    return plan;
  }

  async #make(
    kind: NonNullable<NonNullable<PlanCovarianceRequest['source']>['kind']>,
    tokens: number,
    pause: Pause,
  ): Promise<CovariancePlan> {
    const { model, corpus, corpora } = this.parts;
    switch (kind.$case) {
      case 'builtIn':
        return this.#ofText(await covarianceSequences(model.tokenizer, corpus, tokens, pause), tokens);
      case 'corpus': {
        const text = await corpora.readCorpus(kind.corpus);
        return this.#ofText(await textSequences(model.tokenizer, { id: kind.corpus, text }, tokens, pause), tokens);
      }
      case 'modelSeed':
        return this.#ofSamples(kind.modelSeed, tokens);
    }
  }

  #ofText(
    { corpusId, sequences }: { corpusId: string; sequences: readonly (readonly number[])[] },
    asked: number,
  ): CovariancePlan {
    const wanted = this.#sliceTokens(asked);
    const slices: { tokens: number; rows: number[][] }[] = [];
    for (const sequence of sequences) {
      const open = slices.at(-1);
      const slice = open && open.tokens < wanted ? open : { tokens: 0, rows: [] };
      if (slice !== open) slices.push(slice);
      slice.rows.push([...sequence]);
      slice.tokens += sequence.length;
    }
    return {
      corpusId,
      tokens: slices.reduce((sum, slice) => sum + slice.tokens, 0),
      slices: slices.map(({ tokens, rows }) => ({ tokens, sequences: async () => rows })),
    };
  }

  #ofSamples(seed: number, asked: number): CovariancePlan {
    if (asked > maxSampledTokens)
      throw new ErrataError(
        'INVALID_REQUEST',
        `${asked} tokens are too many to be sampled: at most ${maxSampledTokens}`,
      );
    const { model } = this.parts;
    const length = Math.min(sampleTokens, model.config.contextLength - 1);
    const count = Math.ceil(asked / length);
    const each = Math.ceil(this.#sliceTokens(asked) / length);
    const corpusId = createHash('sha256')
      .update(JSON.stringify(['sampled', samplerVersion, model.id, seed, length]))
      .digest('hex');
    const slices = Array.from({ length: Math.ceil(count / each) }, (_, slice) => {
      const first = slice * each;
      const rows = Math.min(each, count - first);
      const sequences: SliceSequences = (run) => sampleSequences(model, { first, count: rows, length, seed, ...run });
      return { tokens: rows * length, sequences };
    });
    return { corpusId, tokens: count * length, slices };
  }

  #sliceTokens(asked: number): number {
    const { intermediateSize } = this.parts.model.config;
    return Math.max(leastSliceTokens, tokensAnInput * intermediateSize, Math.ceil(asked / maxSlices));
  }
}
