import {
  type Edit,
  ErrataError,
  type Evaluation,
  hasEnded,
  isErrorCode,
  type Revocation,
  type Stream,
} from '@errata/contracts';
import { sleep } from './transport.js';
import type { ErrataClient, RevocationWait, WaitOptions } from './types.js';

const pollMs = 300;

/** Whether nothing more happens to an edit by itself. An applied one that was measured and not verified is settled too. */
export function isSettled(edit: Pick<Edit, 'status' | 'answer'>): boolean {
  switch (edit.status) {
    case 'verified':
    case 'rejected':
    case 'superseded':
    case 'quarantined':
    case 'revoked':
      return true;
    case 'applied':
      return edit.answer !== null;
    case 'queued':
    case 'resolved':
      return false;
  }
}

/** See {@link ErrataClient.waitForEdits}. */
export async function waitForEdits(
  client: Pick<ErrataClient, 'getStream' | 'allEdits'>,
  ...[streamId, submitted, options = {}]: Parameters<ErrataClient['waitForEdits']>
): Promise<Edit[]> {
  const wanted = new Set(submitted.map((edit) => edit.id));
  if (wanted.size === 0) return [];
  const [first, last] = [submitted[0].ordinal, submitted.at(-1)!.ordinal];
  for (;;) {
    const stream = await client.getStream(streamId, options);
    const edits: Edit[] = [];
    for await (const edit of client.allEdits(streamId, { after: first - 1, signal: options.signal })) {
      if (edit.ordinal > last) break;
      if (wanted.has(edit.id)) edits.push(edit);
    }
    const settled = edits.filter(isSettled).length;
    options.onProgress?.({ settled, total: wanted.size, stream });
    if (settled === wanted.size) return edits;
    requireWorking(stream);
    await sleep(options.pollMs ?? pollMs, options.signal);
  }
}

/** Waits for the end of an evaluation. @throws INTERNAL when it failed */
export async function waitForEvaluation(
  client: Pick<ErrataClient, 'getEvaluation'>,
  started: Evaluation,
  options: WaitOptions,
): Promise<Evaluation> {
  let evaluation = started;
  while (evaluation.status === 'running') {
    await sleep(options.pollMs ?? pollMs, options.signal);
    evaluation = await client.getEvaluation(started.streamId, started.id, options);
  }
  if (evaluation.status === 'failed')
    throw new ErrataError(
      'INTERNAL',
      `The evaluation ${evaluation.id} failed: ${evaluation.detail ?? 'no reason given'}`,
    );
  return evaluation;
}

/** Waits for the end of a revocation. @throws the error that it ended with */
export async function waitForRevocation(
  client: Pick<ErrataClient, 'getRevocation'>,
  started: Revocation,
  options: RevocationWait,
): Promise<Revocation> {
  let revocation = started;
  while (!hasEnded(revocation)) {
    options.onProgress?.(revocation);
    await sleep(options.pollMs ?? pollMs, options.signal);
    revocation = await client.getRevocation(started.streamId, started.id, options);
  }
  if (revocation.failure) {
    const { code, message } = revocation.failure;
    throw new ErrataError(isErrorCode(code) ? code : 'INTERNAL', message);
  }
  if (revocation.status === 'cancelled')
    throw new ErrataError('CANCELLED', `The revocation ${revocation.id} was cancelled: ${outOf(revocation)} are out`);
  return revocation;
}

function outOf({ revoked }: Revocation): string {
  return `${revoked.done} of ${revoked.total} edits`;
}

function requireWorking(stream: Stream): void {
  if (stream.status === 'failed')
    throw new ErrataError(
      'NOT_READY',
      `The stream ${stream.name} failed: ${stream.statusDetail ?? 'no reason given'}. Its queued edits are kept; resume it when the cause is gone`,
    );
  if (stream.status === 'paused')
    throw new ErrataError('NOT_READY', `The stream ${stream.name} is paused: its edits wait until it is resumed`);
}
