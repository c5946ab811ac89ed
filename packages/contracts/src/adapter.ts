import { z } from 'zod';
import { exportLimits } from './exports.js';

/** An adapter is named by its content: `adp_` and the sha256 of its factors and the model they are for, hex. */
export const adapterIdSchema = z.string().regex(/^adp_[0-9a-f]{64}$/, 'must be adp_ and 64 hexadecimal digits');

export const adapterLimits = {
  /** Longest upload in bytes: rank 128 on five layers of an 8B model in fp32, and room for the configuration. */
  bytes: 64 * 1024 * 1024,
  /** Columns of a layer: as many as an export writes. */
  rank: exportLimits.maxRank,
  nameLength: 200,
} as const;

/** A low-rank change of a model's second feed-forward matrices, uploaded so that streams can begin with it. */
export const adapterSchema = z
  .object({
    id: adapterIdSchema,
    name: z.string().describe('What it was called when it was uploaded first'),
    modelId: z.string(),
    rank: z.int().describe('Columns it takes in the log: the rank of its widest layer'),
    layers: z.array(z.object({ layer: z.int(), rank: z.int() })),
    own: z
      .boolean()
      .describe('Whether it is an exact export of a log that took nothing out again: then its keys are known'),
    origin: z
      .object({ streamId: z.string(), name: z.string(), seq: z.int(), logHash: z.string() })
      .nullable()
      .describe('The position that an export of this system was taken at'),
    bytes: z.int(),
    streams: z.int().describe('How many streams begin with it'),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'Adapter' });
export type Adapter = z.infer<typeof adapterSchema>;

export const addAdapterQuerySchema = z.object({
  model: z.string().min(1).max(200).describe('Name or id of the model that it changes'),
  name: z.string().min(1).max(adapterLimits.nameLength).default('adapter').describe('What to call it in lists'),
});
export const deleteAdapterResponseSchema = z.object({ id: adapterIdSchema }).meta({ id: 'DeleteAdapterResponse' });
export const listAdaptersResponseSchema = z
  .object({ adapters: z.array(adapterSchema) })
  .meta({ id: 'ListAdaptersResponse' });
