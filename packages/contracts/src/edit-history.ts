import { z } from 'zod';
import { editIdSchema, editSchema, momentSchema } from './domain.js';
import { revocationIdSchema } from './revocation.js';

const at = { at: z.iso.datetime().nullable().describe('Null where the time was not written down') };
const position = { seq: z.int().describe('The step of the log') };
const byRevocation = {
  reason: z.string().nullable(),
  revocation: revocationIdSchema.nullable().describe('The operation it was part of'),
};

/** One step in the life of an edit. */
export const editStepSchema = z
  .discriminatedUnion('kind', [
    z.object({ kind: z.literal('queued'), ...at }),
    z.object({ kind: z.literal('resolved'), ...at, ...position }),
    z.object({ kind: z.literal('applied'), ...at, ...position, column: z.int() }),
    z.object({ kind: z.literal('retargeted'), ...at, ...position, column: z.int(), revocation: revocationIdSchema }),
    z.object({ kind: z.literal('superseded'), ...at, seq: z.int().nullable(), by: editIdSchema }),
    z.object({ kind: z.literal('revoked'), ...at, ...position, ...byRevocation }),
    z.object({ kind: z.literal('rolled-back'), ...at, ...position }),
    z.object({ kind: z.literal('restored'), ...at, ...position }),
    z.object({ kind: z.literal('expiry-set'), ...at, expiresAt: z.iso.datetime().nullable() }),
    z.object({ kind: z.literal('unwritten'), ...at, reason: z.string().nullable() }),
    z.object({ kind: z.literal('rejected'), ...at, reason: z.string().nullable() }),
  ])
  .meta({ id: 'EditStep' });
export type EditStep = z.infer<typeof editStepSchema>;

export const editHistorySchema = z
  .object({ edit: editSchema, steps: z.array(editStepSchema).describe('In the order they happened') })
  .meta({ id: 'EditHistory' });
export type EditHistory = z.infer<typeof editHistorySchema>;

export const patchEditRequestSchema = z
  .strictObject({
    expiresAt: momentSchema.nullable().describe('When the edit is to be taken out; null for never'),
  })
  .meta({ id: 'PatchEditRequest' });
