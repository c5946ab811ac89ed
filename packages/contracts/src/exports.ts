import { z } from 'zod';
import { checkpointNameSchema } from './domain.js';

/** What an export is written as. */
export const exportFormats = ['peft', 'safetensors', 'gguf'] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** How the numbers of an export are stored. */
export const exportDtypes = ['fp32', 'fp16', 'bf16', 'q8_0'] as const;
export type ExportDtype = (typeof exportDtypes)[number];

/** What each format can be stored as; the first is taken when none is named. */
export const dtypesOfFormat: Readonly<Record<ExportFormat, readonly ExportDtype[]>> = {
  peft: ['fp32', 'fp16', 'bf16'],
  safetensors: ['fp32', 'bf16', 'fp16'],
  gguf: ['fp32', 'fp16', 'q8_0'],
};

export const exportLimits = {
  /** Columns a layer's adapter may keep: what vLLM can be told to load at most. */
  maxRank: 512,
  /** Taken when none is given: fits the adapters most servers are set up for. */
  defaultMaxRank: 64,
} as const;

/** One folder below the root of exports; never a path. */
export const exportNameSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, 'must be letters, digits, ".", "_" and "-", at most 100');

const position = {
  seq: z.int().min(0).optional().describe('Position of the log; the head when left out'),
  checkpoint: checkpointNameSchema.optional().describe('Checkpoint instead of a position'),
  at: z.iso.datetime({ offset: true }).optional().describe('Where the head was at a time, instead of a position'),
};
const onePosition = (request: { seq?: unknown; checkpoint?: unknown; at?: unknown }): boolean =>
  [request.seq, request.checkpoint, request.at].filter((given) => given !== undefined).length <= 1;
const onePositionIssue = { path: ['seq'], message: 'give one of seq, checkpoint and at' };

export const createExportRequestSchema = z
  .strictObject({
    format: z
      .enum(exportFormats)
      .describe('peft: a LoRA adapter; safetensors: the whole edited model; gguf: the base file with edited tensors'),
    ...position,
    dtype: z.enum(exportDtypes).optional().describe('Number format; fp32 when left out'),
    maxRank: z
      .int()
      .min(1)
      .max(exportLimits.maxRank)
      .default(exportLimits.defaultMaxRank)
      .describe('peft: columns a layer may keep; beyond it the best approximation of this rank is written'),
    destination: exportNameSchema.optional().describe('Folder to write below EXPORT_DIR; the id when left out'),
  })
  .refine(onePosition, onePositionIssue)
  .refine((request) => request.dtype === undefined || dtypesOfFormat[request.format].includes(request.dtype), {
    path: ['dtype'],
    message: 'the format cannot be stored so: peft and safetensors as fp32, fp16, bf16; gguf as fp32, fp16, q8_0',
  })
  .meta({ id: 'CreateExportRequest' });
export type CreateExportRequest = (typeof createExportRequestSchema)['_input'];

export const exportFileSchema = z
  .object({ name: z.string(), bytes: z.int(), sha256: z.string().regex(/^[0-9a-f]{64}$/) })
  .meta({ id: 'ExportFile' });
export type ExportFile = z.infer<typeof exportFileSchema>;

const exportedLayerSchema = z.object({
  layer: z.int(),
  columns: z.int().describe('Columns of the log at the position'),
  rank: z.int().describe('Columns written (peft), else the same'),
  removals: z.int().optional().describe('Those of the columns that take earlier ones out again'),
  relativeError: z
    .number()
    .describe('‖written − exact change‖ / ‖exact change‖, Frobenius: of the cut to a rank and of rounding'),
});

/** manifest.json of an export: equal positions and options give equal bytes, this file's included. */
export const exportManifestSchema = z
  .object({
    version: z.literal(1),
    format: z.enum(exportFormats),
    dtype: z.enum(exportDtypes),
    maxRank: z.int().nullable().describe('peft: columns a layer was allowed'),
    model: z.object({ id: z.string(), name: z.string(), architecture: z.string() }),
    stream: z.object({ id: z.string(), name: z.string() }),
    seq: z.int().describe('Position of the log'),
    logHash: z.string().describe('Hash of the log at the position'),
    configHash: z.string().describe('Hash of the stream’s editor configuration'),
    layers: z.array(exportedLayerSchema),
    relativeError: z.number().describe('The largest of the layers'),
    files: z.array(exportFileSchema),
  })
  .meta({ id: 'ExportManifest' });
export type ExportManifest = z.infer<typeof exportManifestSchema>;

export const exportStatuses = ['queued', 'running', 'done', 'failed', 'cancelled'] as const;

/** An export and how far it is. */
export const exportSchema = z
  .object({
    id: z.string(),
    streamId: z.string(),
    format: z.enum(exportFormats),
    dtype: z.enum(exportDtypes),
    maxRank: z.int(),
    seq: z.int(),
    logHash: z.string(),
    destination: z.string().describe('Folder below EXPORT_DIR'),
    status: z.enum(exportStatuses),
    detail: z.string().nullable().describe('Why it failed'),
    bytesDone: z.int(),
    bytesTotal: z.int().describe('0 until it is known'),
    manifest: exportManifestSchema.nullable(),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'Export' });
export type Export = z.infer<typeof exportSchema>;

export const listExportsResponseSchema = z
  .object({ exports: z.array(exportSchema) })
  .meta({ id: 'ListExportsResponse' });

export const publicationStatuses = ['running', 'done', 'failed', 'cancelled'] as const;

/** Names of adapters and aliases: what goes into a model id of an OpenAI-compatible server. */
export const aliasSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'must be lower-case letters, digits, ".", "_" and "-", at most 63');

export const createPublicationRequestSchema = z
  .strictObject({
    target: aliasSchema.describe('Server to publish to, by its name in PUBLISH_TARGETS'),
    alias: aliasSchema.describe('Name under which the newest verified adapter is found'),
    ...position,
    dtype: z.enum(['fp32', 'fp16', 'bf16']).default('fp32').describe('Number format of the adapter'),
    maxRank: z.int().min(1).max(exportLimits.maxRank).default(exportLimits.defaultMaxRank),
    samples: z.int().min(1).max(200).default(20).describe('Edits that the server is asked for before the alias moves'),
    tolerance: z
      .number()
      .min(0)
      .max(1)
      .default(0)
      .describe('By how much the share of right answers may be below that of the stream itself'),
  })
  .refine(onePosition, onePositionIssue)
  .meta({ id: 'CreatePublicationRequest' });
export type CreatePublicationRequest = (typeof createPublicationRequestSchema)['_input'];

const publicationStepSchema = z.object({
  step: z.enum(['export', 'upload', 'load', 'verify', 'alias', 'unload', 'fallback']),
  at: z.iso.datetime(),
  detail: z.record(z.string(), z.json()),
});
export type PublicationStep = z.infer<typeof publicationStepSchema>;

export const publicationSchema = z
  .object({
    id: z.string(),
    streamId: z.string(),
    target: z.string(),
    alias: z.string(),
    seq: z.int(),
    logHash: z.string(),
    exportId: z.string(),
    loraName: z.string().describe('Model id of the adapter on the server'),
    samples: z.int(),
    tolerance: z.number(),
    status: z.enum(publicationStatuses),
    detail: z.string().nullable().describe('Why it failed'),
    steps: z.array(publicationStepSchema),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'Publication' });
export type Publication = z.infer<typeof publicationSchema>;
export const listPublicationsResponseSchema = z
  .object({ publications: z.array(publicationSchema) })
  .meta({ id: 'ListPublicationsResponse' });

/** Which adapter an alias means on a server; it moves by compare-and-swap of its version. */
export const aliasRecordSchema = z
  .object({
    target: z.string(),
    alias: z.string(),
    streamId: z.string(),
    seq: z.int(),
    publicationId: z.string(),
    loraName: z.string(),
    version: z.int(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Alias' });
export type AliasRecord = z.infer<typeof aliasRecordSchema>;
export const listAliasesResponseSchema = z
  .object({ aliases: z.array(aliasRecordSchema) })
  .meta({ id: 'ListAliasesResponse' });
