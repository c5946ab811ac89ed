import { z } from 'zod';
import { editIdSchema, editSchema, limits, momentSchema, streamIdSchema } from './domain.js';
import { headChangeSchema } from './http.js';
import { idPattern } from './ids.js';

export const revocationIdSchema = z.string().regex(idPattern('rev'));

const rangeSchema = z
  .strictObject({ from: momentSchema.optional(), before: momentSchema.optional() })
  .refine((range) => range.from !== undefined || range.before !== undefined, {
    message: 'give "from", "before" or both',
  })
  .refine(({ from, before }) => from === undefined || before === undefined || Date.parse(from) < Date.parse(before), {
    message: '"from" must lie before "before"',
  });

const values = (max: number) => z.array(z.string().min(1).max(max)).min(1).max(limits.selectedValues);

const selectionShape = {
  edits: z.array(editIdSchema).min(1).max(limits.editsPerRequest).optional().describe('Only these edits'),
  tags: values(100).optional().describe('Only edits with one of these tags'),
  sources: values(500).optional().describe('Only edits from one of these sources'),
  created: rangeSchema.optional().describe('Only edits that were accepted at or after `from` and before `before`'),
  committed: rangeSchema
    .optional()
    .describe('Only edits whose batch was committed at or after `from` and before `before`: queued ones never match'),
};

/** Which edits of a stream are meant: those that meet every condition given. */
export const editSelectionSchema = z.strictObject(selectionShape).meta({ id: 'EditSelection' });
export type EditSelection = z.infer<typeof editSelectionSchema>;

type Conditions = { readonly [Name in keyof typeof selectionShape]?: unknown };

const hasCondition = (request: Conditions) =>
  (Object.keys(selectionShape) as (keyof Conditions)[]).some((name) => request[name] !== undefined);
const needed = { message: 'say which edits: give "edits", "tags", "sources", "created" or "committed"' };

export const previewRevocationRequestSchema = z
  .strictObject(selectionShape)
  .refine(hasCondition, needed)
  .meta({ id: 'PreviewRevocationRequest' });

export const revokeRequestSchema = z
  .strictObject({
    ...selectionShape,
    reason: z.string().max(500).optional().describe('Kept with the edits'),
    retarget: z
      .boolean()
      .default(false)
      .describe(
        'Resolve the edits written after the first of them again, on the weights without them, and rewrite them',
      ),
    verify: z
      .boolean()
      .default(false)
      .describe('Recompute every layer in fp64 from the recorded keys and values afterwards, and report the deviation'),
    wait: z
      .boolean()
      .default(true)
      .describe('Answer when it has ended, or after a minute; false answers at once. It goes on either way'),
  })
  .refine(hasCondition, needed)
  .meta({ id: 'RevokeRequest' });
export type RevokeRequest = z.infer<typeof revokeRequestSchema>;

/** What a revocation would do now. */
export const revocationPreviewSchema = z
  .object({
    head: z.int(),
    revoked: z.int().describe('Edits that would be taken out of the weights'),
    withdrawn: z.int().describe('Queued edits that would be rejected before they are written'),
    later: z.int().describe('Edits written after the first of them: those that `retarget` would write again'),
    edits: z
      .array(
        editSchema.pick({
          id: true,
          ordinal: true,
          status: true,
          subject: true,
          prompt: true,
          target: true,
          source: true,
          tags: true,
          seq: true,
        }),
      )
      .max(limits.editsOfHeadChange)
      .describe('Those to be taken out or withdrawn, at most the first thousand'),
  })
  .meta({ id: 'RevocationPreview' });
export type RevocationPreview = z.infer<typeof revocationPreviewSchema>;

/** How columns were taken out of one layer. */
export const layerRemovalSchema = z
  .object({
    layer: z.int(),
    path: z
      .enum(['downdate', 'inversion'])
      .nullable()
      .describe('From C itself, or from C without the columns, inverted anew; null where it was not recorded'),
    lambdaMin: z.number().describe('Smallest eigenvalue of T = I − KᵀCK: near 0 a downdate would lose digits'),
  })
  .meta({ id: 'LayerRemoval' });
export type LayerRemoval = z.infer<typeof layerRemovalSchema>;

const progressSchema = z.object({ done: z.int(), total: z.int() });

export const revocationStatusSchema = z
  .enum(['running', 'cancelling', 'done', 'failed', 'cancelled'])
  .meta({ id: 'RevocationStatus' });

/** A set of edits taken out as one operation, in as many batches as it needs. */
export const revocationSchema = z
  .object({
    ...headChangeSchema.shape,
    id: revocationIdSchema,
    streamId: streamIdSchema,
    cause: z.enum(['request', 'expiry']),
    status: revocationStatusSchema,
    selection: editSelectionSchema,
    reason: z.string().nullable(),
    retarget: z.boolean(),
    verify: z.boolean(),
    revoked: progressSchema.describe('Edits taken out of the weights'),
    retargeted: progressSchema.describe('Later edits written again'),
    withdrawn: z.int().describe('Queued edits that were rejected before they were written'),
    batches: z.array(
      z.object({
        seq: z.int(),
        kind: z.enum(['revoke', 'retarget']),
        edits: z.int(),
        layers: z.array(layerRemovalSchema).describe('What went out of each layer, where anything did'),
      }),
    ),
    deviation: z
      .array(z.object({ layer: z.int(), weightError: z.number(), covarianceError: z.number() }))
      .nullable()
      .describe(
        'Relative errors of W − W₀ and of C against the closed form in fp64; null unless `verify` was asked for',
      ),
    failure: z.object({ code: z.string(), message: z.string() }).nullable(),
    createdAt: z.iso.datetime(),
    finishedAt: z.iso.datetime().nullable(),
  })
  .meta({ id: 'Revocation' });
export type Revocation = z.infer<typeof revocationSchema>;
export type LayerDeviation = NonNullable<Revocation['deviation']>[number];

export const listRevocationsResponseSchema = z
  .object({ revocations: z.array(revocationSchema) })
  .meta({ id: 'ListRevocationsResponse' });

/** Whether nothing more happens to a revocation. */
export function hasEnded({ status }: Pick<Revocation, 'status'>): boolean {
  switch (status) {
    case 'done':
    case 'failed':
    case 'cancelled':
      return true;
    case 'running':
    case 'cancelling':
      return false;
  }
}
