import { type EditEvaluation, type Evaluation, type LayerDrift, layerDrift, type Stream } from '@errata/contracts';
import type { CallLimits, StateRef } from '@errata/rpc';
import type { EditOutcome } from '@errata/store';
import { type Dependencies, placeLayer, runtimeTimeoutMs, secondsSince, shardTimeoutMs } from './context.js';
import { answerLength, continuation, generateBySize, says, shown } from './probes.js';

/** Asks the edited model for every edit of a committed batch; those it answers with their target become `verified`. */
export async function verifyBatch(
  { store, runtime, metrics }: Dependencies,
  streamId: string,
  seq: number,
  signal: AbortSignal,
): Promise<{ verified: number }> {
  const batch = await store.getClaimedBatch(streamId, seq);
  const edits = batch.kind === 'apply' ? batch.edits.filter((edit) => edit.adapter === null) : [];
  if (edits.length === 0) return { verified: 0 };
  const state: StateRef = { streamId, seq, staged: [] };
  const limits: CallLimits = { timeoutMs: runtimeTimeoutMs, signal };
  const items = edits.map((edit) => ({ prompt: shown(edit), continuation: continuation(edit.target) }));
  const { results } = await runtime.score({ state, items }, limits);
  const answers = await generateBySize(
    runtime,
    state,
    edits.map((edit, i) => ({ prompt: shown(edit), tokens: answerLength(results[i].tokens) })),
    limits,
  );
  const holds = edits.map((edit, i) => results[i].exact && says(answers[i], edit.target));
  const outcomes = edits.map(
    (edit, i): EditOutcome =>
      holds[i]
        ? { editId: edit.id, status: 'verified', answer: answers[i] }
        : { editId: edit.id, answer: answers[i], reason: 'written, but the model’s first choice is another answer' },
  );
  await store.updateEdits(streamId, outcomes);
  const verified = holds.filter(Boolean).length;
  metrics.editsAsked.inc({ outcome: 'verified' }, verified);
  metrics.editsAsked.inc({ outcome: 'missed' }, holds.length - verified);
  return { verified };
}

/** Drift of every edited layer at a position. */
export async function driftOf(
  dependencies: Dependencies,
  stream: Stream,
  seq: number,
  signal: AbortSignal,
): Promise<LayerDrift[]> {
  const state: StateRef = { streamId: stream.id, seq, staged: [] };
  return Promise.all(
    stream.config.layers.map(async (layer) => {
      const placement = placeLayer(dependencies, stream, layer);
      const measured = await dependencies.fleet.watch(placement, ({ owner, peers }) =>
        owner.stats({ state, layer, peers }, { timeoutMs: shardTimeoutMs, signal }),
      );
      return layerDrift(layer, measured);
    }),
  );
}

/** Measures the drift after a batch and keeps it with the batch. */
export async function measureDrift(
  dependencies: Dependencies,
  streamId: string,
  seq: number,
  signal: AbortSignal,
): Promise<{ seconds: number }> {
  const start = performance.now();
  const stream = await dependencies.store.getStream(streamId);
  const drift = await driftOf(dependencies, stream, seq, signal);
  await dependencies.store.saveBatchDrift(streamId, seq, drift);
  return { seconds: secondsSince(start) };
}

/** Re-measures all active edits of a stream, before (unedited) and after, and the perplexity on held-out text. */
export async function evaluate(
  dependencies: Dependencies,
  streamId: string,
  evaluationId: string,
  signal: AbortSignal,
): Promise<void> {
  const { store, runtime } = dependencies;
  const evaluation = await store.getEvaluation(streamId, evaluationId);
  if (evaluation.status === 'done') return;
  const stream = await store.getStream(streamId);
  const limits: CallLimits = { timeoutMs: runtimeTimeoutMs, signal };
  const before: StateRef = { streamId, seq: 0, staged: [] };
  const after: StateRef = { streamId, seq: evaluation.seq, staged: [] };
  const edits = (await store.activeEdits(streamId, evaluation.seq)).filter((edit) => edit.baseline !== null);

  const rewrites = edits.map((edit) => ({ prompt: shown(edit), continuation: continuation(edit.target) }));
  const pairs = edits.flatMap((edit) => [
    ...edit.paraphrases.map((prompt, k) => [prompt, continuation(edit.target), edit.baseline?.paraphrases[k] ?? '']),
    ...edit.neighbours.map((prompt, k) => [prompt, continuation(edit.target), edit.baseline?.neighbours[k] ?? '']),
  ]);
  const pairItems = pairs.flatMap(([prompt, target, earlier]) => [
    { prompt, continuation: target },
    { prompt, continuation: earlier === '' ? continuation('') : earlier },
  ]);
  const rewritesBefore = (await runtime.score({ state: before, items: rewrites }, limits)).results;
  const perplexityBefore = (await runtime.perplexity({ state: before }, limits)).perplexity;
  const scored = (await runtime.score({ state: after, items: [...rewrites, ...pairItems] }, limits)).results;
  const answers = await generateBySize(
    runtime,
    after,
    edits.map((edit, i) => ({ prompt: shown(edit), tokens: answerLength(scored[i].tokens) })),
    limits,
  );
  const perplexityAfter = (await runtime.perplexity({ state: after }, limits)).perplexity;
  const drift = await driftOf(dependencies, stream, evaluation.seq, signal);

  const pairScores = scored.slice(edits.length);
  const targetWins = () => {
    const [target, earlier] = pairScores.splice(0, 2);
    return target.nll < earlier.nll;
  };
  const results = edits.map(
    (edit, i): EditEvaluation => ({
      editId: edit.id,
      answerBefore: edit.baseline?.answer ?? '',
      answerAfter: answers[i],
      rewriteBefore: rewritesBefore[i].exact && says(edit.baseline?.answer ?? '', edit.target),
      rewriteAfter: scored[i].exact && says(answers[i], edit.target),
      paraphrases: edit.paraphrases.map((prompt) => ({ prompt, success: targetWins() })),
      neighbours: edit.neighbours.map((prompt) => ({ prompt, kept: !targetWins() })),
    }),
  );
  const done: Evaluation = {
    ...evaluation,
    status: 'done',
    rewriteBefore: rate(results.map((result) => result.rewriteBefore)),
    rewriteAfter: rate(results.map((result) => result.rewriteAfter)),
    paraphraseAfter: rate(results.flatMap((result) => result.paraphrases.map((p) => p.success))),
    neighboursKept: rate(results.flatMap((result) => result.neighbours.map((n) => n.kept))),
    perplexityBefore,
    perplexityAfter,
    drift,
    edits: results,
  };
  await store.saveEvaluation(done);
}

function rate(outcomes: readonly boolean[]): number | null {
  return outcomes.length === 0 ? null : outcomes.filter(Boolean).length / outcomes.length;
}
