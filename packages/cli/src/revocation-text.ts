import type { EditHistory, EditStep, Revocation, RevocationPreview } from '@errata/contracts';
import { textTable } from './tables.js';

const plural = (count: number, one: string, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

/** What a revocation did: counts, how each layer of each batch went out, and the measured deviation. */
export function revocationText(revocation: Revocation): string {
  const { revoked, retargeted, withdrawn, batches, deviation, head, hash } = revocation;
  if (revoked.total === 0 && withdrawn === 0) return 'No edit of the stream is meant: nothing was changed.';
  const parts = [
    `${revoked.done} revoked`,
    ...(withdrawn > 0 ? [`${withdrawn} rejected before they were written`] : []),
    ...(retargeted.total > 0 ? [`${plural(retargeted.done, 'later edit')} written again`] : []),
  ];
  const rows = batches.flatMap((batch) =>
    batch.layers.map(({ layer, path, lambdaMin }) => [
      batch.seq,
      batch.kind,
      batch.edits,
      layer,
      path ?? 'unknown',
      lambdaMin.toExponential(1),
    ]),
  );
  return [
    `${revocation.id}: ${parts.join(', ')}. The head is now ${head}, log ${hash.slice(0, 16)}.`,
    ...(rows.length > 0 ? [textTable(['step', 'kind', 'edits', 'layer', 'path', 'λ_min(T)'], rows)] : []),
    ...(deviation
      ? [
          'Against the closed form in fp64:',
          textTable(
            ['layer', 'weight error', 'covariance error'],
            deviation.map((of) => [of.layer, of.weightError.toExponential(1), of.covarianceError.toExponential(1)]),
          ),
        ]
      : []),
  ].join('\n');
}

/** How far a revocation is, in one line. */
export function progressText({ revoked, retargeted }: Revocation): string {
  const again = retargeted.total > 0 ? ` · ${retargeted.done}/${retargeted.total} written again` : '';
  return `${revoked.done}/${revoked.total} revoked${again}`;
}

export function previewText({ revoked, withdrawn, later, edits }: RevocationPreview): string {
  const listed = textTable(
    ['#', 'id', 'status', 'prompt', 'target', 'source', 'tags'],
    edits.map((edit) => [
      edit.ordinal,
      edit.id,
      edit.status,
      edit.prompt.replace('{}', () => edit.subject ?? '{}'),
      edit.target,
      edit.source ?? '',
      edit.tags.join(', '),
    ]),
  );
  const counts = `Would take out ${plural(revoked, 'edit')} and reject ${plural(withdrawn, 'queued one')}; ${later} later ones were resolved on weights that hold them.`;
  return edits.length === 0 ? counts : `${listed}\n\n${counts}`;
}

export function revocationsText(revocations: readonly Revocation[]): string {
  if (revocations.length === 0) return 'No revocations.';
  return textTable(
    ['id', 'cause', 'status', 'progress', 'reason', 'asked for'],
    revocations.map((one) => [
      one.id,
      one.cause,
      one.failure ? `failed: ${one.failure.code}` : one.status,
      progressText(one),
      one.reason ?? '',
      one.createdAt,
    ]),
  );
}

export function historyText({ edit, steps }: EditHistory): string {
  const title = `${edit.prompt.replace('{}', () => edit.subject ?? '{}')} → ${edit.target}`;
  const expiry = edit.expiresAt === null ? '' : `, expires at ${edit.expiresAt}`;
  const rows = steps.map((step) => [step.at ?? 'not recorded', step.kind, stepText(step)]);
  return `${title}\n${edit.id}: ${edit.status}${expiry}\n\n${textTable(['when', 'what', ''], rows)}`;
}

function stepText(step: EditStep): string {
  switch (step.kind) {
    case 'queued':
      return '';
    case 'resolved':
      return `for ${step.seq}`;
    case 'applied':
      return `at ${step.seq}, column ${step.column}`;
    case 'retargeted':
      return `at ${step.seq}, column ${step.column}, by ${step.revocation}`;
    case 'superseded':
      return step.seq === null ? `by ${step.by}` : `at ${step.seq} by ${step.by}`;
    case 'revoked':
      return `at ${step.seq}${step.reason === null ? '' : `: ${step.reason}`}`;
    case 'rolled-back':
    case 'restored':
      return `by a rollback to ${step.seq}`;
    case 'expiry-set':
      return step.expiresAt ?? 'never';
    case 'unwritten':
    case 'rejected':
      return step.reason ?? '';
  }
}
