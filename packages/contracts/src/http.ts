import { z } from 'zod';
import { adapterIdSchema } from './adapter.js';
import { openAiErrorSchema } from './completions.js';
import {
  batchSchema,
  checkpointNameSchema,
  checkpointSchema,
  editIdSchema,
  editInputSchema,
  editSchema,
  editStatusSchema,
  evaluationSchema,
  layerDriftSchema,
  limits,
  streamEventSchema,
  streamSchema,
} from './domain.js';
import { editorConfigSchema } from './editor-config.js';
import { driftSummaryShape } from './guards.js';
import { damageSchema, repairReportSchema } from './retention.js';

/** A stream is found by its name too: a name must fit in a path segment and must not look like an id. */
export const streamNameSchema = z
  .string()
  .regex(
    /^(?!str_[0-9a-f]{32}$)[\p{L}\p{N}][\p{L}\p{N}._ -]{0,99}$/u,
    'letters, digits, spaces, . _ - (at most 100, a letter or digit first), and not in the form of an id',
  );

/** Bodies and answers of the HTTP API. The OpenAPI document is made from these. */
export const createStreamRequestSchema = z
  .strictObject({
    model: z.string().min(1).max(200).describe('Name or id of a model that a runtime serves'),
    name: streamNameSchema.optional(),
    config: z.strictObject(editorConfigSchema.shape).partial().optional().describe('Overrides of the model’s preset'),
    adapter: adapterIdSchema.optional().describe('Id of an uploaded adapter that the log begins with'),
  })
  .meta({ id: 'CreateStreamRequest' });
export type CreateStreamRequest = z.infer<typeof createStreamRequestSchema>;

export const submitEditsRequestSchema = z
  .strictObject({ edits: z.array(editInputSchema).min(1).max(limits.editsPerRequest) })
  .meta({ id: 'SubmitEditsRequest' });

export const submitEditsResponseSchema = z
  .object({ edits: z.array(editSchema.pick({ id: true, ordinal: true, status: true, reason: true })) })
  .meta({ id: 'SubmitEditsResponse' });
export type SubmitEditsResponse = z.infer<typeof submitEditsResponseSchema>;

export const listStreamsResponseSchema = z
  .object({ streams: z.array(streamSchema) })
  .meta({ id: 'ListStreamsResponse' });

export const listEditsQuerySchema = z.object({
  status: editStatusSchema.optional(),
  after: z.coerce.number().int().min(0).default(0).describe('Ordinal to start after'),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
});
export const listEditsResponseSchema = z
  .object({
    edits: z.array(editSchema),
    next: z.int().nullable().describe('Value of `after` for the next page; null at the end'),
  })
  .meta({ id: 'ListEditsResponse' });
export type ListEditsResponse = z.infer<typeof listEditsResponseSchema>;

export const listBatchesResponseSchema = z
  .object({ batches: z.array(batchSchema) })
  .meta({ id: 'ListBatchesResponse' });
export const listEventsResponseSchema = z
  .object({ events: z.array(streamEventSchema) })
  .meta({ id: 'ListEventsResponse' });

/** What a change of the head did. */
export const headChangeSchema = z
  .object({
    head: z.int(),
    hash: z.string(),
    changed: z.int().describe('How many edits changed their status'),
    edits: z.array(editIdSchema).max(limits.editsOfHeadChange).describe('Those edits, at most the first thousand'),
  })
  .meta({ id: 'HeadChange' });
export type HeadChange = z.infer<typeof headChangeSchema>;

/** The answer of a change of the head: bounded, since it travels through the workflow's history. */
export function headChange(head: number, hash: string, editIds: readonly string[]): HeadChange {
  return { head, hash, changed: editIds.length, edits: editIds.slice(0, limits.editsOfHeadChange) };
}

export const createCheckpointRequestSchema = z
  .strictObject({ name: checkpointNameSchema })
  .meta({ id: 'CreateCheckpointRequest' });
export const listCheckpointsResponseSchema = z
  .object({ checkpoints: z.array(checkpointSchema) })
  .meta({ id: 'ListCheckpointsResponse' });

export const driftResponseSchema = z
  .object({ seq: z.int(), layers: z.array(layerDriftSchema), ...driftSummaryShape })
  .meta({ id: 'DriftResponse' });

export const verifyLogRequestSchema = z
  .strictObject({
    deep: z.boolean().default(false).describe('Also recompute the state from the recorded keys and values in fp64'),
    repair: z.boolean().default(false).describe('First put back what the log can give itself'),
  })
  .meta({ id: 'VerifyLogRequest' });
export const verifyLogResponseSchema = z
  .object({
    seq: z.int(),
    hash: z.string(),
    entries: z.int(),
    ok: z.boolean(),
    problems: z.array(z.string()),
    damage: z.array(damageSchema).optional().describe('Stored tensors that do not match their hash'),
    repair: repairReportSchema.nullable().optional(),
    deep: z
      .array(
        z.object({
          layer: z.int(),
          weightError: z.number(),
          covarianceError: z.number(),
          survivingColumns: z.int(),
          deltaSha256: z.string(),
        }),
      )
      .nullable(),
  })
  .meta({ id: 'VerifyLogResponse' });
export type VerifyLogResponse = z.infer<typeof verifyLogResponseSchema>;

export const evaluateResponseSchema = evaluationSchema;

/** RFC 9457 problem details, with the code of the error table and, for bad input, line and field of each fault. */
export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string(),
    retryable: z.boolean(),
    errors: z
      .array(z.object({ line: z.int().optional(), field: z.string().optional(), message: z.string() }))
      .optional(),
    error: openAiErrorSchema.optional().describe('The same for clients of OpenAI, on the routes made for them'),
  })
  .meta({ id: 'Problem' });
export type Problem = z.infer<typeof problemSchema>;

export const modelSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    architecture: z.string(),
    layers: z.int(),
    hiddenSize: z.int(),
    intermediateSize: z.int(),
  })
  .meta({ id: 'Model' });
export type Model = z.infer<typeof modelSchema>;
export const listModelsResponseSchema = z.object({ models: z.array(modelSchema) }).meta({ id: 'ListModelsResponse' });
