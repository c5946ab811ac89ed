import { createHash } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import type { ErrataClient } from '@errata/client';
import { type Edit, ErrataError, type Evaluation, type Stream, type VerifyLogResponse } from '@errata/contracts';
import type { Job } from './job-state.js';
import { bar, type Output } from './output.js';
import { driftTable, editTable, evaluationLines, type JobReport, secondsPerEdit } from './report.js';

/** Largest relative error against the fp64 closed form at which a revocation counts as exact: fp32 storage allows no less. */
const exactTolerance = 1e-5;
const checkpointName = 'all-edits';

export interface JobOptions {
  readonly client: ErrataClient;
  readonly output: Output;
  readonly job: Job;
  /** The edits, one JSON object a line. */
  readonly ndjson: string;
  readonly model: string;
  readonly signal: AbortSignal;
}

/**
 * The main job: streams the edits, measures them, revokes one, rolls back and proves that the earlier state is back.
 * Every step may be repeated: an interrupted job goes on where it was.
 */
export async function runJob({ client, output, job, ndjson, model, signal }: JobOptions): Promise<JobReport> {
  const start = performance.now();
  const name = `main-job-${job.run}-${createHash('sha256').update(ndjson).digest('hex').slice(0, 8)}`;
  const options = { signal };
  const stream = await client.createStream({ model, name }, { ...options, idempotencyKey: name });
  output.line(`stream ${name} on ${stream.modelName}, layers ${stream.config.layers.join(', ')}`);

  const submitted = await client.submitNdjson(stream.id, ndjson, { ...options, idempotencyKey: `${name}-edits` });
  output.line(`${submitted.edits.length} edits accepted`);
  const shownProgress = progressOf(output);
  const edits = await client.waitForEdits(stream.id, submitted.edits, {
    ...options,
    onProgress: ({ settled, total, stream: now }) => shownProgress(settled, total, now),
  });
  output.done();
  const checkpoints = await client.listCheckpoints(stream.id, options);
  // An interrupted run may have left a revocation behind: the checkpoint is the state to go on from.
  if (checkpoints.some((checkpoint) => checkpoint.name === checkpointName))
    await client.rollback(stream.id, { checkpoint: checkpointName }, options);
  else await client.createCheckpoint(stream.id, checkpointName, options);

  output.live('asking the model again: every edit, paraphrase and neighbour, and held-out text');
  const evaluation = await client.evaluate(stream.id, options);
  output.done();
  output.line();
  output.line(editTable(edits, evaluation, output.columns));
  output.line('paraphr.: how many prefer the target to their earlier answer; neighb.: how many keep their own');
  for (const line of evaluationLines(evaluation)) output.line(line);

  output.line();
  const revocation = await revokeAndReturn({ client, output, stream, edits, evaluation, signal });
  output.line();
  output.line('drift of the edited layers');
  output.line(driftTable(evaluation.drift));

  const timing = secondsPerEdit(await client.listBatches(stream.id, options));
  output.line(
    `seconds an edit: targets ${timing.targets.toFixed(2)}, keys ${timing.keys.toFixed(2)}, update ${timing.update.toFixed(2)}, orchestration ${timing.orchestration.toFixed(2)}`,
  );
  return {
    edits: edits.length,
    applied: edits.filter((edit) => edit.status === 'applied' || edit.status === 'verified').length,
    rewriteBefore: evaluation.rewriteBefore,
    rewriteAfter: evaluation.rewriteAfter,
    paraphraseAfter: evaluation.paraphraseAfter,
    neighboursKept: evaluation.neighboursKept,
    perplexityBefore: evaluation.perplexityBefore,
    perplexityAfter: evaluation.perplexityAfter,
    ...revocation,
    secondsPerEdit: timing,
    drift: evaluation.drift,
    streamId: stream.id,
    seconds: (performance.now() - start) / 1000,
  };
}

function progressOf(output: Output): (settled: number, total: number, stream: Stream) => void {
  return (settled, total, stream) => {
    const detail =
      stream.status === 'preparing'
        ? `preparing: ${stream.statusDetail ?? 'covariance of the edited layers, once per model'}`
        : `log position ${stream.head}`;
    output.live(`${bar(settled, total)} edits · ${detail}`);
  };
}

interface Revocation {
  readonly client: ErrataClient;
  readonly output: Output;
  readonly stream: Stream;
  readonly edits: readonly Edit[];
  readonly evaluation: Evaluation;
  readonly signal: AbortSignal;
}

/** Takes one edit out, checks that against the closed form, goes back to the checkpoint and checks that nothing is left of it. */
async function revokeAndReturn({
  client,
  output,
  stream,
  edits,
  evaluation,
  signal,
}: Revocation): Promise<Pick<JobReport, 'revokeExact' | 'revokeError' | 'rollbackExact'>> {
  const options = { signal };
  const chosen = edits.findLast((edit) => edit.status === 'verified' && edit.seq !== null);
  if (!chosen)
    throw new ErrataError(
      'EDIT_NOT_REVOCABLE',
      'no edit was verified, so there is none to revoke: see the table above',
    );
  const prompt = chosen.prompt.replace('{}', () => chosen.subject ?? '');
  const request = { prompt, max_tokens: 8, stop: '\n' };
  const ask = async () => (await client.complete(stream.id, request, options)).choices[0].text.trim();

  output.live('recomputing the state from the recorded keys and values in fp64');
  const before = await client.verify(stream.id, { ...options, deep: true });
  const answerBefore = await ask();
  const revoked = await client.revoke(stream.id, [chosen.id], 'shown by the main job', options);
  const after = await client.verify(stream.id, { ...options, deep: true });
  const answerRevoked = await ask();
  output.done();
  const revokeError = Math.max(...(after.deep ?? []).map((layer) => layer.weightError));
  const revokeExact = after.ok && revokeError <= exactTolerance;
  output.line(`revoked    “${prompt}” → ${JSON.stringify(answerRevoked)} (was ${JSON.stringify(answerBefore)})`);
  output.line(
    `           log ${short(before.hash)} → ${short(revoked.hash)}; weights within ${revokeError.toExponential(1)} of the fp64 closed form without it`,
  );

  output.live(`rolling back to checkpoint ${checkpointName} and asking everything again`);
  const back = await client.rollback(stream.id, { checkpoint: checkpointName }, options);
  const again = await client.verify(stream.id, { ...options, deep: true });
  const answers = await client.evaluate(stream.id, options);
  output.done();
  const same = answers.edits.filter((edit, i) => edit.answerAfter === evaluation.edits[i]?.answerAfter).length;
  const rollbackExact = sameState(before, again) && back.hash === before.hash && same === evaluation.edits.length;
  output.line(
    `rolled back to ${checkpointName}: log ${short(back.hash)} ${back.hash === before.hash ? '=' : '≠'} ${short(before.hash)}, weights ${sameWeights(before, again) ? 'equal byte for byte' : 'DIFFER'}, ${same}/${evaluation.edits.length} answers the same`,
  );
  return { revokeExact, revokeError, rollbackExact };
}

function sameState(a: VerifyLogResponse, b: VerifyLogResponse): boolean {
  return a.ok && b.ok && a.hash === b.hash && a.entries === b.entries && sameWeights(a, b);
}

function sameWeights(a: VerifyLogResponse, b: VerifyLogResponse): boolean {
  if (!a.deep || !b.deep || a.deep.length === 0) return false;
  return a.deep.every((layer, i) => layer.deltaSha256 === b.deep?.[i]?.deltaSha256);
}

function short(hash: string): string {
  return hash.slice(0, 12);
}
