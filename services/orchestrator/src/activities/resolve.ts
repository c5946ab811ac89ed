import { type Baseline, type Edit, ErrataError, type Stream } from '@errata/contracts';
import { decodeTensor, type EditText, type ResolveResult, type StateRef } from '@errata/rpc';
import type { ClaimedBatch, EditOutcome } from '@errata/store';
import { configJson, type Dependencies, longTimeoutMs, runtimeTimeoutMs, secondsSince } from './context.js';
import { answerLength, continuation, generateBySize, shown } from './probes.js';

/** What an edit looks like to the model runtime. */
export function editText(edit: Edit): EditText {
  return { editId: edit.id, prompt: edit.prompt, subject: edit.subject ?? '', target: edit.target };
}

/** The state a batch is computed on: its parent, plus the whole revoke batch that makes room for it. */
export function parentState(stream: Stream, batch: ClaimedBatch, layersOfBatch: readonly number[] = []): StateRef {
  const staged = [];
  if (batch.supersedes) staged.push({ seq: batch.supersedes.seq, layers: [...stream.config.layers] });
  if (layersOfBatch.length > 0) staged.push({ seq: batch.seq, layers: [...layersOfBatch] });
  return { streamId: stream.id, seq: batch.parentSeq, staged };
}

/**
 * Finds the targets of a claimed batch and stores them. Edits the model cannot take (too long, say) leave the batch
 * `rejected`; edits it already answers leave it `verified`, since there is nothing to write.
 */
export async function resolveTargets(
  dependencies: Dependencies,
  streamId: string,
  seq: number,
  signal: AbortSignal,
): Promise<{ edits: number; seconds: number }> {
  const start = performance.now();
  const { store } = dependencies;
  const stream = await store.getStream(streamId);
  let batch = await store.getClaimedBatch(streamId, seq);
  if (batch.edits.length === 0 || (await store.readTargets(streamId, seq)))
    return { edits: batch.edits.length, seconds: 0 };

  const faulty = await findFaulty(dependencies, stream, batch, signal);
  if (faulty.length > 0) {
    await store.dropFromBatch(streamId, seq, faulty);
    batch = await store.getClaimedBatch(streamId, seq);
    if (batch.edits.length === 0) return { edits: 0, seconds: secondsSince(start) };
  }
  const baselines = await measureBaselines(dependencies, stream, batch.edits, signal);
  await store.updateEdits(streamId, baselines);

  let result = await search(dependencies, stream, batch, signal);
  // An edit that supersedes another must be written: the one it replaces has just been taken out.
  const known = batch.supersedes ? [] : result.stats.filter((edit) => edit.alreadyKnown);
  if (known.length > 0) {
    const outcomes: EditOutcome[] = known.map(({ editId }) => {
      const edit = batch.edits.find((candidate) => candidate.id === editId);
      return {
        editId,
        status: 'verified',
        reason: 'the model already answers this: nothing was written',
        answer: edit?.target,
      };
    });
    const kept = batch.edits.filter((edit) => !known.some(({ editId }) => editId === edit.id));
    result = keepColumns(result, batch.edits, kept);
    await store.dropFromBatch(streamId, seq, outcomes);
  }
  const left = result.stats.length;
  if (left > 0) await store.saveTargets(streamId, seq, decodeTensor(result.targets, 'targets'));
  return { edits: left, seconds: secondsSince(start) };
}

async function search(
  { runtime, logger, metrics }: Dependencies,
  stream: Stream,
  batch: ClaimedBatch,
  signal: AbortSignal,
): Promise<ResolveResult> {
  const request = {
    state: parentState(stream, batch),
    configJson: configJson(stream.config),
    edits: batch.edits.map(editText),
  };
  for await (const { event } of runtime.resolveTargets(request, { timeoutMs: longTimeoutMs, signal })) {
    if (event?.$case === 'progress')
      logger.debug({ streamId: stream.id, seq: batch.seq, ...event.progress }, 'target search');
    if (event?.$case === 'result') {
      for (const edit of event.result.stats) metrics.targetSteps.observe(edit.steps);
      return event.result;
    }
  }
  throw new ErrataError('NOT_READY', 'the model runtime ended the target search early');
}

/** Edits that the runtime refuses one by one. The whole batch is asked first, so that the usual case costs one call. */
async function findFaulty(
  { runtime }: Dependencies,
  stream: Stream,
  batch: ClaimedBatch,
  signal: AbortSignal,
): Promise<EditOutcome[]> {
  const probe = (edits: readonly Edit[]) =>
    runtime.computeKeys(
      {
        state: parentState(stream, batch),
        configJson: configJson(stream.config),
        layer: stream.config.layers[0],
        edits: edits.map(editText),
      },
      { timeoutMs: runtimeTimeoutMs, signal },
    );
  const refusal = async (edits: readonly Edit[]): Promise<ErrataError | null> => {
    try {
      await probe(edits);
      return null;
    } catch (error) {
      if (error instanceof ErrataError && error.code === 'INVALID_REQUEST') return error;
      throw error;
    }
  };
  if (!(await refusal(batch.edits))) return [];
  const outcomes: EditOutcome[] = [];
  for (const edit of batch.edits) {
    const error = await refusal([edit]);
    if (error) outcomes.push({ editId: edit.id, status: 'rejected', reason: error.message });
  }
  return outcomes;
}

/** What the unedited model answers to the probes of each edit: as many tokens as the edit's target has. */
async function measureBaselines(
  { runtime }: Dependencies,
  stream: Stream,
  edits: readonly Edit[],
  signal: AbortSignal,
): Promise<EditOutcome[]> {
  const limits = { timeoutMs: runtimeTimeoutMs, signal };
  const unedited: StateRef = { streamId: stream.id, seq: 0, staged: [] };
  const items = edits.map((edit) => ({ prompt: shown(edit), continuation: continuation(edit.target) }));
  const { results } = await runtime.score({ state: unedited, items }, limits);
  const sized = edits.flatMap((edit, i) =>
    [...edit.paraphrases, ...edit.neighbours].map((prompt) => ({ prompt, tokens: results[i].tokens })),
  );
  const probes = await generateBySize(runtime, unedited, sized, limits);
  const answers = await generateBySize(
    runtime,
    unedited,
    edits.map((edit, i) => ({ prompt: shown(edit), tokens: answerLength(results[i].tokens) })),
    limits,
  );
  return edits.map((edit, i) => {
    const take = (count: number) => probes.splice(0, count);
    const baseline: Baseline = {
      answer: answers[i],
      paraphrases: take(edit.paraphrases.length),
      neighbours: take(edit.neighbours.length),
    };
    return { editId: edit.id, baseline };
  });
}

/** The result with the columns of the kept edits only; columns stand in the order of `edits`. */
function keepColumns(result: ResolveResult, edits: readonly Edit[], kept: readonly Edit[]): ResolveResult {
  const targets = decodeTensor(result.targets, 'targets');
  const data = Buffer.alloc(targets.rows * kept.length * 4);
  const stats = kept.map((edit, column) => {
    const from = edits.indexOf(edit);
    const source = targets.data.subarray(from * targets.rows, (from + 1) * targets.rows);
    Buffer.from(source.buffer, source.byteOffset, source.byteLength).copy(data, column * targets.rows * 4);
    return result.stats[from];
  });
  return { targets: { rows: targets.rows, columns: kept.length, data }, stats };
}
