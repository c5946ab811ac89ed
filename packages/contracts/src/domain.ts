import { z } from 'zod';
import { editorConfigSchema } from './editor-config.js';
import { idPattern } from './ids.js';

/** Longest prompt, subject, target and probe accepted, in UTF-16 code units: far above any real correction, far below a context window. */
export const limits = {
  promptLength: 4000,
  subjectLength: 500,
  targetLength: 1000,
  probesPerKind: 16,
  tagsPerEdit: 16,
  editsPerRequest: 10_000,
  /** Ids in the answer of a rollback or revocation: 36 KB, far below Temporal's limit on a payload. */
  editsOfHeadChange: 1000,
  /** Edits written or taken out by one batch: what a shard worker takes in one call. */
  editsPerBatch: 256,
  /** Tags or sources that one selection names. */
  selectedValues: 100,
  /** Range of an edit's importance: what one edit may count beside another of the same batch. */
  importance: { least: 0.01, most: 100 },
  /** Largest weight of a column, importance and forgetting together: its key grows by 1e4, about as far as fp32 carries. */
  columnWeight: 1e8,
  /** Bytes of one request body. */
  requestBytes: 16 * 1024 * 1024,
  /** Bytes of one NDJSON line. */
  lineBytes: 64 * 1024,
} as const;

/** A point in time with its offset from UTC, as RFC 3339 writes it. */
export const momentSchema = z.iso.datetime({ offset: true });

const text = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .refine((s) => s.trim().length > 0, { message: 'must not be blank' });

/** One correction as a client sends it. */
export const editInputSchema = z
  .strictObject({
    subject: text(limits.subjectLength)
      .optional()
      .describe(
        'What the edit is about; put where {} stands in the prompt. Without it the edit is written at the last token of the prompt',
      ),
    prompt: text(limits.promptLength).describe(
      'Text whose continuation is corrected; holds {} once when a subject is given',
    ),
    target: text(limits.targetLength).describe('The wanted continuation, without the joining space'),
    paraphrases: z
      .array(text(limits.promptLength))
      .max(limits.probesPerKind)
      .default([])
      .describe('Prompts that should get the target too'),
    neighbours: z
      .array(text(limits.promptLength))
      .max(limits.probesPerKind)
      .default([])
      .describe('Prompts whose answers must not move'),
    source: z.string().max(500).optional().describe('Where the correction comes from'),
    tags: z.array(z.string().min(1).max(100)).max(limits.tagsPerEdit).default([]),
    importance: z
      .number()
      .min(limits.importance.least)
      .max(limits.importance.most)
      .optional()
      .describe('Weight of the edit against the others and against the anchor. 1 when left out'),
    expiresAt: momentSchema.optional().describe('When the edit is taken out again; must lie in the future'),
  })
  .superRefine((edit, ctx) => {
    const holes = edit.prompt.split('{}').length - 1;
    if (edit.subject === undefined && holes > 0)
      ctx.addIssue({
        code: 'custom',
        path: ['subject'],
        message: 'the prompt holds {} but no subject is given: add "subject" or write the prompt out',
      });
    if (edit.subject !== undefined && holes === 0)
      ctx.addIssue({
        code: 'custom',
        path: ['prompt'],
        message: `the prompt does not hold its subject: write {} where ${JSON.stringify(edit.subject.slice(0, 60))} stands`,
      });
    if (holes > 1)
      ctx.addIssue({ code: 'custom', path: ['prompt'], message: `the prompt holds {} ${holes} times: once is needed` });
    if (/\s$/.test(edit.prompt))
      ctx.addIssue({ code: 'custom', path: ['prompt'], message: 'the prompt must not end in white space' });
    if (/^\s/.test(edit.target))
      ctx.addIssue({ code: 'custom', path: ['target'], message: 'the target must not begin with white space' });
  })
  .meta({ id: 'EditInput' });

export type EditInput = z.infer<typeof editInputSchema>;

export const editStatusSchema = z
  .enum(['queued', 'resolved', 'applied', 'verified', 'rejected', 'superseded', 'revoked', 'quarantined'])
  .meta({ id: 'EditStatus' });
export type EditStatus = z.infer<typeof editStatusSchema>;

export const streamIdSchema = z.string().regex(idPattern('str'));
export const editIdSchema = z.string().regex(idPattern('edt'));
export const evaluationIdSchema = z.string().regex(idPattern('evl'));
export const checkpointNameSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'lower-case letters, digits, . _ - (at most 63)');

/** What the unedited model answered to the probes of an edit, measured when the edit was resolved. */
export const baselineSchema = z.object({
  answer: z.string(),
  paraphrases: z.array(z.string()),
  neighbours: z.array(z.string()),
});
export type Baseline = z.infer<typeof baselineSchema>;

export const editSchema = z
  .object({
    id: editIdSchema,
    streamId: streamIdSchema.describe(
      'The stream it was sent to; of an inherited edit, one that the branch comes from',
    ),
    /** Position in the stream's order of arrival, from 1. */
    ordinal: z.int(),
    subject: z.string().nullable(),
    prompt: z.string(),
    target: z.string(),
    paraphrases: z.array(z.string()),
    neighbours: z.array(z.string()),
    source: z.string().nullable(),
    tags: z.array(z.string()),
    importance: z.number().describe('Weight of the edit against the others and against the anchor'),
    status: editStatusSchema,
    /** Why the edit ended as it did, where that needs saying. */
    reason: z.string().nullable(),
    /** The batch that wrote it, and its column there. */
    seq: z.int().nullable(),
    column: z.int().nullable(),
    baseline: baselineSchema.nullable(),
    answer: z.string().nullable().describe('What the edited model answered when the edit was last verified'),
    mergedFrom: editIdSchema.nullable().describe('The edit of another stream that a merge wrote here again'),
    expiresAt: z.iso.datetime().nullable().describe('When the edit is taken out again, if ever'),
    adapter: z
      .string()
      .nullable()
      .describe('Id of the adapter that this is instead of a correction: it is never asked, and goes out as a whole'),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Edit' });
export type Edit = z.infer<typeof editSchema>;

export const streamStatusSchema = z.enum(['preparing', 'ready', 'paused', 'failed']).meta({ id: 'StreamStatus' });
export type StreamStatus = z.infer<typeof streamStatusSchema>;

export const streamSchema = z
  .object({
    id: streamIdSchema,
    name: z.string(),
    modelId: z.string(),
    modelName: z.string(),
    config: editorConfigSchema,
    configHash: z.string(),
    status: streamStatusSchema,
    statusDetail: z.string().nullable(),
    head: z.int().describe('Position of the head in the log; 0 is the unedited model'),
    headHash: z.string().describe('Hash of the log up to the head'),
    origin: z
      .object({ streamId: streamIdSchema, seq: z.int() })
      .nullable()
      .describe('Where a branch left another stream: up to there both have one history'),
    createdAt: z.iso.datetime(),
    counts: z.partialRecord(editStatusSchema, z.int()).describe('Edits by status'),
  })
  .meta({ id: 'Stream' });
export type Stream = z.infer<typeof streamSchema>;

export const checkpointSchema = z
  .object({
    streamId: streamIdSchema,
    name: checkpointNameSchema,
    seq: z.int(),
    hash: z.string(),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'Checkpoint' });
export type Checkpoint = z.infer<typeof checkpointSchema>;

/** Drift of one layer at one position of the log. */
export const layerDriftSchema = z
  .object({
    layer: z.int(),
    rank: z.int(),
    deltaNorm: z.number().describe('‖W − W₀‖ (Frobenius)'),
    deltaBound: z.number().describe('Its upper bound ‖residuals‖ / (2 √λ_min(A₀))'),
    anchorDeviation: z.number().describe('‖(W − W₀) K₀‖ (Frobenius)'),
    effectiveRank: z.int(),
    spectralNorm: z.number(),
    conditionEstimate: z.number().describe('λ_max / λ_min of the inverse covariance, as of up to 16 edits before'),
    information: z.number().describe('log det C₀ − log det C'),
    boundShare: z.number().optional().describe('deltaNorm / deltaBound'),
    capacityLeft: z.number().optional().describe('tr C / tr C₀: share of the freedom of the keys that is left'),
    editedNorm: z.number().optional().describe('Root mean square of ‖(W − W₀) k‖ / ‖k‖ over the keys k in the weights'),
    lambdaMinS: z
      .number()
      .optional()
      .describe('Smallest eigenvalue of S = I + KᵀCK of the newest batch put in; 1 where there is none'),
    lambdaMinT: z
      .number()
      .optional()
      .describe('Smallest eigenvalue of T = I − KᵀCK of the newest revocation; 1 where there is none'),
    symmetryError: z.number().optional().describe('Largest relative difference between C and its transpose'),
  })
  .meta({ id: 'LayerDrift' });
export type LayerDrift = z.infer<typeof layerDriftSchema>;

/** The drift of a layer out of what its shard measured; figures that JSON cannot say are left out. */
export function layerDrift(layer: number, measured: Omit<LayerDrift, 'layer'>): LayerDrift {
  const known: Partial<LayerDrift> = { ...measured, layer };
  const fields = (Object.keys(layerDriftSchema.shape) as (keyof LayerDrift)[]).filter((field) =>
    Number.isFinite(known[field]),
  );
  return Object.fromEntries(fields.map((field) => [field, known[field]])) as LayerDrift;
}

export const batchKindSchema = z.enum(['apply', 'revoke']);
export type BatchKind = z.infer<typeof batchKindSchema>;

export const batchSecondsSchema = z.object({
  targets: z.number(),
  keys: z.number(),
  update: z.number(),
  total: z.number(),
});
export type BatchSeconds = z.infer<typeof batchSecondsSchema>;

/** One committed step of a stream's log. */
export const batchSchema = z
  .object({
    streamId: streamIdSchema.describe(
      'The stream it was written in; of an inherited batch, one that the branch comes from',
    ),
    seq: z.int(),
    parentSeq: z.int(),
    kind: batchKindSchema,
    hash: z.string(),
    edits: z.int(),
    onHead: z.boolean().describe('False when a rollback took the batch out of the head’s lineage'),
    collected: z.boolean().optional().describe('Whether its tensors were removed: it cannot be gone back to'),
    seconds: batchSecondsSchema.nullable(),
    drift: z.array(layerDriftSchema),
    createdAt: z.iso.datetime(),
    committedAt: z.iso.datetime().nullable(),
  })
  .meta({ id: 'Batch' });
export type Batch = z.infer<typeof batchSchema>;

export const editEvaluationSchema = z.object({
  editId: editIdSchema,
  answerBefore: z.string(),
  answerAfter: z.string(),
  rewriteBefore: z.boolean(),
  rewriteAfter: z.boolean(),
  paraphrases: z.array(z.object({ prompt: z.string(), success: z.boolean() })),
  neighbours: z.array(z.object({ prompt: z.string(), kept: z.boolean() })),
});
export type EditEvaluation = z.infer<typeof editEvaluationSchema>;

/** All active edits of a stream re-measured at one position. Rates are 0–1, null when nothing was measured. */
export const evaluationSchema = z
  .object({
    id: evaluationIdSchema,
    streamId: streamIdSchema,
    seq: z.int(),
    status: z.enum(['running', 'done', 'failed']),
    detail: z.string().nullable(),
    rewriteBefore: z.number().nullable(),
    rewriteAfter: z.number().nullable(),
    paraphraseAfter: z.number().nullable(),
    neighboursKept: z.number().nullable(),
    perplexityBefore: z.number().nullable(),
    perplexityAfter: z.number().nullable(),
    drift: z.array(layerDriftSchema),
    edits: z.array(editEvaluationSchema),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'Evaluation' });
export type Evaluation = z.infer<typeof evaluationSchema>;

/** What the preparation of a stream found of a layer: how its inverse covariance is made and held. */
export const layerPreparationSchema = z
  .object({
    layer: z.int(),
    condition: z.number().describe('Condition number of λ²I + μ²w Cov with the effective λ'),
    lambda: z
      .number()
      .describe('λ in effect: above the requested one where conditioning is raise-lambda and it had to be'),
    requestedLambda: z.number(),
    precision: z.string().describe('fp32 or fp64: how the inverse covariance is stored'),
  })
  .meta({ id: 'LayerPreparation' });
export type LayerPreparation = z.infer<typeof layerPreparationSchema>;

/** Something that happened to a stream as a whole. */
export const streamEventSchema = z
  .object({
    id: z.int(),
    kind: z.enum([
      'created',
      'prepared',
      'failed',
      'batch',
      'revoke',
      'revocation',
      'expiry',
      'rollback',
      'checkpoint',
      'paused',
      'resumed',
      'branch',
      'merge',
      'publication',
      'collected',
      'repaired',
      'guard',
      'quarantine',
    ]),
    seq: z.int(),
    detail: z.record(z.string(), z.json()),
    at: z.iso.datetime(),
  })
  .meta({ id: 'StreamEvent' });
export type StreamEvent = z.infer<typeof streamEventSchema>;
