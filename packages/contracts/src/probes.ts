import { z } from 'zod';
import { editIdSchema, streamIdSchema } from './domain.js';

/** What is measured on the edited model after a batch, the cheapest first. */
export const probeKinds = ['canaries', 'retention', 'neighbours', 'paraphrases', 'ability', 'heldOut'] as const;
export const probeKindSchema = z.enum(probeKinds).meta({ id: 'ProbeKind' });
export type ProbeKind = z.infer<typeof probeKindSchema>;

/** Steps of the log since an edit was written. */
export const ageBuckets = ['0-9', '10-99', '100-999', '1000+'] as const;
export const ageBucketSchema = z.enum(ageBuckets);
export type AgeBucket = z.infer<typeof ageBucketSchema>;

/** The bucket of an age in steps. */
export function ageBucket(steps: number): AgeBucket {
  if (steps < 10) return '0-9';
  if (steps < 100) return '10-99';
  return steps < 1000 ? '100-999' : '1000+';
}

export const probeLimits = {
  /** Of a stream: all are asked in one round, as one request to the model runtime. */
  canaries: 200,
  canaryNameLength: 63,
  /** Windows of held-out text there are. */
  windows: 12,
  /** Edits asked in one round. */
  edits: 256,
  /** Rounds in one answer of the API. */
  rounds: 1000,
} as const;

const count = { asked: z.int(), held: z.int().describe('Of those asked, the ones that are as they should be') };
const seq = z.int().describe('Position of the log at which it was measured');

/** The newest result of every kind of probe; kinds that were never measured are left out. */
export const probeResultsSchema = z
  .object({
    canaries: z
      .object({ seq, ...count, lost: z.array(z.string()).describe('Canaries that held before and do not now') })
      .optional(),
    retention: z
      .object({ seq, ...count, byAge: z.array(z.object({ age: ageBucketSchema, ...count })) })
      .optional()
      .describe('Earlier edits, verified when they were written, that are still answered with their target'),
    neighbours: z
      .object({ seq, ...count })
      .optional()
      .describe('Neighbours of edits that keep their answer'),
    paraphrases: z
      .object({ seq, ...count })
      .optional()
      .describe('Paraphrases of edits that prefer the target'),
    ability: z
      .object({ seq, ...count })
      .optional()
      .describe('Of the built-in questions that the unedited model answers right, those still answered right'),
    heldOut: z
      .object({
        seq,
        tokens: z.int(),
        perplexity: z.number(),
        basePerplexity: z.number(),
        divergence: z.number().describe('Mean KL(unedited ‖ edited) of the next token, in nats'),
      })
      .optional(),
  })
  .meta({ id: 'ProbeResults' });
export type ProbeResults = z.infer<typeof probeResultsSchema>;

/** A round of probes after one batch. */
export const probeRoundSchema = z
  .object({
    streamId: streamIdSchema,
    seq: z.int(),
    measured: z.array(probeKindSchema).describe('Kinds measured in this round; the others had no budget left'),
    results: probeResultsSchema,
    seconds: z.number().describe('What the round cost, the drift of the layers included'),
    costShare: z.number().describe('Cost of all rounds so far over the time of editing'),
    tripped: z.boolean().describe('Whether a guard found a budget exceeded'),
    onHead: z.boolean().describe('False when a rollback took the position out of the head’s lineage'),
    edits: z.int().describe('Edits written up to there'),
    at: z.iso.datetime(),
  })
  .meta({ id: 'ProbeRound' });
export type ProbeRound = z.infer<typeof probeRoundSchema>;

export const listProbesQuerySchema = z.object({
  limit: z.coerce.number().int().min(1).max(probeLimits.rounds).default(200).describe('The newest so many rounds'),
});
export const listProbesResponseSchema = z
  .object({ rounds: z.array(probeRoundSchema).describe('Oldest first') })
  .meta({ id: 'ListProbesResponse' });

/** How much is measured after batches. */
export const probeSettingsSchema = z
  .strictObject({
    costShare: z
      .number()
      .min(0)
      .max(100)
      .describe('Most that measuring may cost, over the time of editing; 0 measures nothing, 100 whatever there is'),
    every: z.int().min(1).max(10_000).describe('A round after every so many steps'),
    edits: z.int().min(0).max(probeLimits.edits).describe('Earlier edits asked in a round'),
    windows: z.int().min(0).max(probeLimits.windows).describe('Windows of 256 tokens of held-out text in a round'),
    ability: z.boolean().describe('Whether the built-in questions are asked'),
  })
  .meta({ id: 'ProbeSettings' });
export type ProbeSettings = z.infer<typeof probeSettingsSchema>;

export const canaryNameSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'lower-case letters, digits, . _ - (at most 63)');

export const canaryInputSchema = z
  .strictObject({
    name: canaryNameSchema,
    prompt: z
      .string()
      .min(1)
      .max(4000)
      .refine((s) => !/\s$/.test(s), 'must not end in white space'),
    expected: z
      .string()
      .min(1)
      .max(1000)
      .refine((s) => !/^\s/.test(s), 'must not begin with white space')
      .describe('The wanted continuation, without the joining space'),
  })
  .meta({ id: 'CanaryInput' });
export type CanaryInput = z.infer<typeof canaryInputSchema>;

/** A question whose answer must stay, asked after batches. */
export const canarySchema = z
  .object({
    name: canaryNameSchema,
    prompt: z.string(),
    expected: z.string(),
    baseHolds: z.boolean().nullable().describe('Whether the unedited model answers it so; null until it was asked'),
    holds: z.boolean().nullable().describe('Whether it was so at `seq`'),
    seq: z.int().nullable(),
    heldSeq: z.int().nullable().describe('The newest position at which it was so'),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'Canary' });
export type Canary = z.infer<typeof canarySchema>;

export const listCanariesResponseSchema = z
  .object({ canaries: z.array(canarySchema) })
  .meta({ id: 'ListCanariesResponse' });

export const settleQuarantineRequestSchema = z
  .strictObject({
    edits: z.array(editIdSchema).min(1).max(10_000).optional().describe('All that are in quarantine when left out'),
    reason: z.string().min(1).max(500).optional().describe('Kept with the edits'),
  })
  .meta({ id: 'SettleQuarantineRequest' });
export const settleQuarantineResponseSchema = z
  .object({ settled: z.int(), edits: z.array(editIdSchema).describe('At most the first thousand') })
  .meta({ id: 'SettleQuarantineResponse' });
export type SettleQuarantineResponse = z.infer<typeof settleQuarantineResponseSchema>;
