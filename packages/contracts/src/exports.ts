import { z } from 'zod';

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
  checkpoint: z.string().min(1).max(200).optional().describe('Checkpoint instead of a position'),
};

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
  .refine((request) => request.seq === undefined || request.checkpoint === undefined, {
    path: ['checkpoint'],
    message: 'give seq or checkpoint, not both',
  })
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
