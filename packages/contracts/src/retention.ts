import { z } from 'zod';
import { checkpointNameSchema, streamIdSchema } from './domain.js';

/** Days that what no lineage reaches is kept, unless told otherwise. */
export const defaultRetentionDays = 30;

/** Dense weights of a position, from which going on is cheaper than from the root. */
export const snapshotSchema = z
  .object({
    id: z.string(),
    streamId: streamIdSchema.describe('The stream that holds the position: of a branch, it may be the origin'),
    seq: z.int(),
    hash: z.string().describe('Of the log at the position'),
    kind: z.enum(['weights', 'shard']),
    form: z.string().describe('What the bits depend on beyond the log: the engine and the order of operations'),
    bytes: z.int(),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'Snapshot' });
export type Snapshot = z.infer<typeof snapshotSchema>;

export const listSnapshotsResponseSchema = z
  .object({ snapshots: z.array(snapshotSchema) })
  .meta({ id: 'ListSnapshotsResponse' });

export const takeSnapshotRequestSchema = z
  .strictObject({ checkpoint: checkpointNameSchema.optional(), seq: z.int().min(0).optional() })
  .refine((r) => r.checkpoint === undefined || r.seq === undefined, { message: 'give "checkpoint" or "seq", not both' })
  .meta({ id: 'TakeSnapshotRequest' });

export const takeSnapshotResponseSchema = z
  .object({
    snapshot: z
      .object({
        id: z.string(),
        seq: z.int().describe('The last fold at or below the position that was asked for'),
        bytes: z.int(),
        created: z.boolean().describe('False where it was there already'),
      })
      .nullable()
      .describe('Null where there are too few columns: the log is read as fast'),
  })
  .meta({ id: 'TakeSnapshotResponse' });
export type TakeSnapshotResponse = z.infer<typeof takeSnapshotResponseSchema>;

export const collectGarbageRequestSchema = z
  .strictObject({
    keepDays: z
      .number()
      .min(0)
      .max(36_500)
      .default(defaultRetentionDays)
      .describe('Days that what no head, checkpoint or branch reaches is kept'),
    dryRun: z.boolean().default(false).describe('Only say what would be removed'),
  })
  .meta({ id: 'CollectGarbageRequest' });

export const collectGarbageResponseSchema = z
  .object({
    dryRun: z.boolean(),
    batches: z.int(),
    entries: z.int().describe('Log entries of those batches'),
    entryBytes: z.int(),
    snapshots: z.int(),
    chunks: z.int().describe('Chunks that no snapshot names'),
    chunkBytes: z.int(),
    deliveries: z.int().describe('Notifications of guards that were delivered or given up longer ago'),
  })
  .meta({ id: 'CollectGarbageResponse' });
export type CollectGarbageResponse = z.infer<typeof collectGarbageResponseSchema>;

/** A stored tensor whose bytes do not match their hash. */
export const damageSchema = z
  .object({
    streamId: streamIdSchema.describe('The stream that holds it'),
    seq: z.int().describe('0 for a covariance, which belongs to no batch'),
    layer: z.int().nullable(),
    tensor: z.enum(['keys', 'g', 'b', 'r_diagonal', 'record', 'targets', 'snapshot', 'covariance']),
    detail: z.string(),
  })
  .meta({ id: 'Damage' });
export type Damage = z.infer<typeof damageSchema>;

/** What became of damage. */
export const repairReportSchema = z
  .object({
    repaired: z.array(damageSchema),
    lost: z.array(damageSchema).describe('Beyond repair'),
    lastGood: z
      .int()
      .nullable()
      .describe('Where something the weights need is beyond repair: the position to roll back to'),
  })
  .meta({ id: 'RepairReport' });
export type RepairReport = z.infer<typeof repairReportSchema>;
