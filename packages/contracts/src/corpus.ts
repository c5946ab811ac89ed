import { z } from 'zod';

/** A text that was uploaded is named by its content: `crp_` and the sha256 of its UTF-8 bytes, hex. */
export const corpusIdSchema = z.string().regex(/^crp_[0-9a-f]{64}$/, 'must be crp_ and 64 hexadecimal digits');

/** Seed of sampling when none is given. */
const defaultSeed = 0;

/** What the covariance of a stream's layers is taken over, where it is not the built-in text. */
export const covarianceCorpusSchema = z
  .union([
    z.strictObject({ id: corpusIdSchema.describe('Id of an uploaded corpus') }),
    z.strictObject({
      kind: z.literal('model').describe('No text: the model samples its own'),
      seed: z.int().min(0).max(0xffff_ffff).optional().describe('Seed of the sampling, 0 when left out'),
    }),
  ])
  .meta({ id: 'CovarianceCorpus' });
export type CovarianceCorpus = z.infer<typeof covarianceCorpusSchema>;

/** The source of a covariance as one word: `default`, the id of a corpus, or `model:SEED`. */
export function covarianceSource(corpus: CovarianceCorpus | undefined): string {
  if (corpus === undefined) return 'default';
  return 'id' in corpus ? corpus.id : `model:${corpus.seed ?? defaultSeed}`;
}

/** A text that covariances can be taken over. */
export const corpusSchema = z
  .object({
    id: corpusIdSchema,
    name: z.string().describe('What it was called when it was uploaded first'),
    bytes: z.int().describe('Its length in UTF-8'),
    streams: z.int().describe('How many streams name it'),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'Corpus' });
export type Corpus = z.infer<typeof corpusSchema>;

export const corpusLimits = {
  /** Longest text of one corpus in bytes: some eight million tokens. */
  bytes: 32 * 1024 * 1024,
  nameLength: 200,
} as const;

export const addCorpusQuerySchema = z.object({
  name: z.string().min(1).max(corpusLimits.nameLength).default('text').describe('What to call it in lists'),
});
export const deleteCorpusResponseSchema = z.object({ id: corpusIdSchema }).meta({ id: 'DeleteCorpusResponse' });
export const listCorporaResponseSchema = z
  .object({ corpora: z.array(corpusSchema) })
  .meta({ id: 'ListCorporaResponse' });
