import { z } from 'zod';
import {
  checkpointNameSchema,
  editIdSchema,
  editSchema,
  editStatusSchema,
  layerDriftSchema,
  limits,
  streamIdSchema,
  streamSchema,
} from './domain.js';
import { headChangeSchema, streamNameSchema } from './http.js';

/** The ways to name a position of a stream's history. */
const positionShape = {
  seq: z.int().min(0).optional().describe('A seq of the log; 0 is the unedited model'),
  checkpoint: checkpointNameSchema.optional(),
  at: z.iso
    .datetime({ offset: true })
    .optional()
    .describe('A time that has passed: where the head was then, whatever happened since'),
  before: editIdSchema.optional().describe('An edit on the head’s lineage: what its batch was written on'),
} as const;
type Position = { readonly [Way in keyof typeof positionShape]?: z.output<(typeof positionShape)[Way]> };

const ways = Object.keys(positionShape) as (keyof typeof positionShape)[];

function waysGiven(position: Position): number {
  return ways.filter((way) => position[way] !== undefined).length;
}

/** A position by exactly one of its names. */
export const positionRequestSchema = z
  .strictObject(positionShape)
  .refine((position) => waysGiven(position) === 1, { message: 'give one of "seq", "checkpoint", "at" and "before"' });
export type PositionRequest = z.infer<typeof positionRequestSchema>;

export const rollbackRequestSchema = positionRequestSchema.meta({ id: 'RollbackRequest' });

export const createBranchRequestSchema = z
  .strictObject({
    ...positionShape,
    name: streamNameSchema.optional().describe('Made from the stream’s when left out'),
  })
  .refine((branch) => waysGiven(branch) <= 1, {
    message: 'give at most one of "seq", "checkpoint", "at" and "before": the head without any',
  })
  .meta({ id: 'CreateBranchRequest' });
export type CreateBranchRequest = z.infer<typeof createBranchRequestSchema>;

export const listBranchesResponseSchema = z
  .object({ branches: z.array(streamSchema).describe('Those that left this stream directly, oldest first') })
  .meta({ id: 'ListBranchesResponse' });

/** A position of a stream, by which two are compared. */
export const streamPositionSchema = z.object({ streamId: streamIdSchema, seq: z.int(), hash: z.string() });
export type StreamPosition = z.infer<typeof streamPositionSchema>;

/** What of an edit a comparison shows. */
export const editGistSchema = editSchema
  .pick({ id: true, streamId: true, subject: true, prompt: true, target: true, importance: true, seq: true })
  .extend({ status: editStatusSchema });
export type EditGist = z.infer<typeof editGistSchema>;

export const diffQuerySchema = z.object({
  with: z.string().min(1).max(200).optional().describe('Id or name of the other stream; this one when left out'),
  seq: z.coerce.number().int().min(0).optional().describe('Position of this stream; its head when left out'),
  withSeq: z.coerce.number().int().min(0).optional().describe('Position of the other stream; its head when left out'),
});

const listed = <Item extends z.ZodType>(item: Item) => z.array(item).max(limits.editsOfHeadChange);

/** How two positions differ: what the second has that the first has not, and the reverse. */
export const diffSchema = z
  .object({
    from: streamPositionSchema,
    to: streamPositionSchema,
    common: streamPositionSchema
      .nullable()
      .describe('The last position that both build on; null for unrelated streams'),
    counts: z
      .object({ added: z.int(), removed: z.int(), changed: z.int(), kept: z.int() })
      .describe('Edits in the weights; the lists below hold at most the first thousand of each'),
    added: listed(editGistSchema),
    removed: listed(editGistSchema),
    changed: listed(z.object({ from: editGistSchema, to: editGistSchema })).describe(
      'The same subject and prompt with another target or importance',
    ),
    layers: z
      .array(
        z.object({
          layer: z.int(),
          distance: z.number().describe('‖W of the second − W of the first‖ (Frobenius)'),
          from: layerDriftSchema
            .nullable()
            .describe('Drift of the first; null where its stream does not edit the layer'),
          to: layerDriftSchema.nullable(),
        }),
      )
      .describe('Layers that either stream edits'),
  })
  .meta({ id: 'Diff' });
export type Diff = z.infer<typeof diffSchema>;

export const mergeStrategySchema = z.enum(['fail', 'ours', 'theirs']);
export type MergeStrategy = z.infer<typeof mergeStrategySchema>;

export const mergeRequestSchema = z
  .strictObject({
    from: z.string().min(1).max(200).describe('Id or name of the stream whose edits are written here again'),
    conflicts: mergeStrategySchema
      .default('fail')
      .describe('What becomes of conflicting edits: an error, as they are here, as they are there'),
    revocations: z.boolean().default(false).describe('Also revoke here what was revoked there'),
    dryRun: z.boolean().default(false).describe('Only say what would be done'),
  })
  .meta({ id: 'MergeRequest' });
export type MergeRequest = z.infer<typeof mergeRequestSchema>;

export const mergeConflictSchema = z.object({
  kind: z
    .enum(['target', 'revoked-here', 'revoked-there'])
    .describe('Both sides changed it; revoked here and changed there; revoked there and changed here'),
  ours: editGistSchema,
  theirs: editGistSchema,
});
export type MergeConflict = z.infer<typeof mergeConflictSchema>;

/** Why a merge leaves an edit out: its time has come, or it is an adapter, which only a new stream begins with. */
export const mergeSkipReasonSchema = z.enum(['expired', 'adapter']);
export type MergeSkipReason = z.infer<typeof mergeSkipReasonSchema>;

/** What a merge does, or would do. Lists hold at most the first thousand. */
export const mergeResponseSchema = z
  .object({
    from: streamPositionSchema,
    to: streamPositionSchema,
    common: streamPositionSchema.nullable(),
    dryRun: z.boolean(),
    conflicts: listed(mergeConflictSchema),
    counts: z.object({
      edits: z.int(),
      revocations: z.int(),
      conflicts: z.int(),
      present: z.int(),
      skipped: z.int().optional(),
    }),
    skipped: listed(z.object({ edit: editGistSchema, reason: mergeSkipReasonSchema }))
      .optional()
      .describe('Edits of the other stream that are not written here, and why'),
    edits: listed(editGistSchema).describe('Edits of the other stream that are written here again'),
    queued: listed(editSchema.pick({ id: true, ordinal: true, status: true, reason: true, mergedFrom: true })).describe(
      'The new edits; they are written like any others',
    ),
    revocations: listed(editIdSchema).describe('Edits here that the other stream revoked'),
    revoked: headChangeSchema.nullable().describe('What revoking them did; null where nothing was revoked'),
  })
  .meta({ id: 'MergeResponse' });
export type MergeResponse = z.infer<typeof mergeResponseSchema>;

/** An edit as comparisons show it. */
export function editGist({ id, streamId, subject, prompt, target, importance, seq, status }: EditGist): EditGist {
  return { id, streamId, subject, prompt, target, importance, seq, status };
}
