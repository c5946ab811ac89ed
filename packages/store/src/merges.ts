import { type Edit, type EditInput, ErrataError, type MergeConflict } from '@errata/contracts';
import { partsFor } from './batch-records.js';
import { commonPosition } from './compare.js';
import type { Database, Transaction } from './database.js';
import { activeAt } from './edits.js';
import { enqueueRecords } from './enqueue.js';
import { writeEvent } from './events.js';
import { Prisma, type Stream } from './generated/client.js';
import { inheritanceOf, inheritedEdits } from './inherited.js';
import { lineageOf } from './lineage.js';
import { lockStream, unknownStream } from './locks.js';
import { type EarlierMerges, planMerge } from './merge-plan.js';
import { isWithin } from './owners.js';
import type { Store } from './types.js';

/** Conflicts that an error lists by name; the plan of a dry run has them all. */
const CONFLICTS_NAMED = 100;

interface Taken {
  readonly merged_from: string;
  readonly status: string;
  readonly seq: number | null;
}

/** What earlier merges brought here and what went from here there; one that was rolled back since does not count. */
async function earlierMerges(tx: Transaction, stream: Stream, theirs: readonly Edit[]): Promise<EarlierMerges> {
  const inheritance = await inheritanceOf(tx, stream);
  const ids = theirs.map(({ id }) => id);
  const inherited = inheritance
    ? Prisma.sql`UNION ALL SELECT merged_from, status, seq
        FROM (${inheritedEdits(inheritance, Prisma.sql`e.merged_from = ANY(${ids})`)}) i`
    : Prisma.empty;
  const taken = await tx.$queryRaw<Taken[]>`
    SELECT merged_from, status, seq FROM edits WHERE stream_id = ${stream.id} AND merged_from = ANY(${ids}) ${inherited}`;
  const lineage = new Set(await lineageOf(tx, stream.id, stream.head));
  const merged = taken.filter(({ status, seq }) => status !== 'revoked' || (seq !== null && lineage.has(seq)));

  const sources = theirs.flatMap(({ mergedFrom }) => (mergedFrom === null ? [] : [mergedFrom]));
  const path = stream.originSeq ? await partsFor(tx, stream.id, stream.originSeq) : [];
  const own = await tx.$queryRaw<{ id: string }[]>`
    SELECT e.id FROM edits e WHERE e.id = ANY(${sources}) AND (e.stream_id = ${stream.id} OR EXISTS (
      SELECT FROM batch_edits w WHERE w.edit_id = e.id AND w.source_seq IS NULL AND ${isWithin('w', path)}))`;
  return {
    merged: new Set(merged.map(({ merged_from }) => merged_from)),
    ownIds: new Set(own.map(({ id }) => id)),
  };
}

function refusal(stream: Stream, other: Stream, conflicts: readonly MergeConflict[]): ErrataError {
  const said = (conflict: MergeConflict): string => {
    const { ours, theirs, kind } = conflict;
    const prompt = ours.prompt.replace('{}', () => ours.subject ?? '');
    switch (kind) {
      case 'target':
        return `${prompt}: ${JSON.stringify(ours.target)} here (${ours.id}), ${JSON.stringify(theirs.target)} there (${theirs.id})`;
      case 'revoked-here':
        return `${prompt}: ${ours.id} was revoked here and replaced there by ${JSON.stringify(theirs.target)} (${theirs.id})`;
      case 'revoked-there':
        return `${prompt}: ${theirs.id} was revoked there and replaced here by ${JSON.stringify(ours.target)} (${ours.id})`;
    }
  };
  return new ErrataError(
    'MERGE_CONFLICT',
    `${conflicts.length} edits of ${other.name} conflict with ${stream.name}: merge again with "conflicts": "ours" or "theirs", or change them first`,
    {
      details: conflicts
        .slice(0, CONFLICTS_NAMED)
        .map((conflict) => ({ field: conflict.theirs.id, message: said(conflict) })),
    },
  );
}

/** An edit as it could have been sent. */
function asInput(edit: Edit): EditInput {
  const { subject, prompt, target, paraphrases, neighbours, source, tags, importance, expiresAt } = edit;
  const optional = {
    ...(subject !== null && { subject }),
    ...(source !== null && { source }),
    ...(expiresAt !== null && { expiresAt }),
  };
  return { prompt, target, paraphrases, neighbours, tags, importance, ...optional };
}

async function writeAgain(db: Database, tx: Transaction, stream: Stream, edits: readonly Edit[]): Promise<Edit[]> {
  if (edits.length === 0) return [];
  const { enqueueEdits } = enqueueRecords({ ...db, transaction: (work) => work(tx) });
  const queued = (await enqueueEdits(stream.id, edits.map(asInput))).edits;
  const ids = queued.map(({ id }) => id);
  const sources = edits.map(({ id }) => id);
  await tx.$executeRaw`
    UPDATE edits e SET merged_from = m.source FROM unnest(${ids}::text[], ${sources}::text[]) AS m(id, source)
    WHERE e.id = m.id`;
  return queued.map((edit, i) => ({ ...edit, mergedFrom: sources[i] }));
}

/** In the order in which they were written. */
function byColumn(a: Edit, b: Edit): number {
  return (a.seq ?? 0) - (b.seq ?? 0) || (a.column ?? 0) - (b.column ?? 0);
}

export function mergeRecords(db: Database): Pick<Store, 'mergeStream'> {
  return {
    mergeStream: (streamId, fromId, { dryRun, ...options }) =>
      db.transaction(async (tx) => {
        const stream = await lockStream(tx, streamId);
        const other = await tx.stream.findUnique({ where: { id: fromId } });
        if (!other) throw unknownStream(fromId);
        if (other.id === stream.id) throw new ErrataError('INVALID_REQUEST', 'a stream is not merged with itself');
        if (other.modelId !== stream.modelId)
          throw new ErrataError(
            'INVALID_REQUEST',
            `${other.name} is on model ${other.modelId}, ${stream.name} on ${stream.modelId}: merge streams of one model`,
          );
        const to = { streamId, seq: stream.head, hash: stream.headHash };
        const from = { streamId: other.id, seq: other.head, hash: other.headHash };
        const common = await commonPosition(tx, to, from);
        const base = common ? await activeAt(tx, stream, common.seq) : [];
        const live = (await activeAt(tx, other, other.head)).sort(byColumn);
        const here = { live: await activeAt(tx, stream, stream.head), base };
        const plan = planMerge(here, { live, base }, await earlierMerges(tx, stream, live), options, new Date());
        const found = { ...plan, from, to, common };
        if (dryRun) return { ...found, queued: [] };
        if (plan.conflicts.length > 0 && options.conflicts === 'fail') throw refusal(stream, other, plan.conflicts);
        const queued = await writeAgain(db, tx, stream, plan.edits);
        if (queued.length > 0)
          await writeEvent(tx, {
            streamId,
            kind: 'merge',
            seq: stream.head,
            detail: {
              from: other.id,
              name: other.name,
              fromSeq: other.head,
              fromHash: other.headHash,
              edits: queued.length,
              ...(plan.skipped.length > 0 && { skipped: plan.skipped.length }),
              conflicts: plan.conflicts.length,
              strategy: options.conflicts,
            },
          });
        return { ...found, queued };
      }),
  };
}
