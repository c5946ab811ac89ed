import { type Baseline, type Edit, ErrataError, type ErrorCode, type Stream } from '@errata/contracts';
import { decodeTensor, type EditText, type ResolveResult, type StateRef } from '@errata/rpc';
import type { ClaimedBatch, EditOutcome } from '@errata/store';
import { configJson, type Dependencies, longTimeoutMs, runtimeTimeoutMs, secondsSince } from './context.js';
import { answerLength, continuation, generateBySize, shown } from './probes.js';
import { tooHeavy } from './weights.js';

/** What an edit looks like to the model runtime. */
export function editText(edit: Edit): EditText {
  return { editId: edit.id, prompt: edit.prompt, subject: edit.subject ?? '', target: edit.target };
}

/** Id of the adapter that a batch is, or null for one of corrections. */
export function adapterOf({ edits }: ClaimedBatch): string | null {
  return edits[0]?.adapter ?? null;
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
  if (batch.edits.length === 0 || adapterOf(batch) !== null || (await store.readTargets(streamId, seq)))
    return { edits: batch.edits.length, seconds: 0 };
  const unfit = [...tooHeavy(stream, seq, batch.edits), ...expired(batch)];
  if (unfit.length > 0) {
    await drop(store, stream, batch, unfit, 'ILL_CONDITIONED');
    batch = await store.getClaimedBatch(streamId, seq);
    if (batch.edits.length === 0) return { edits: 0, seconds: 0 };
  }

  let found: Resolution;
  try {
    found = await resolve(dependencies, stream, batch, signal);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    const faulty = await findFaulty(dependencies, stream, batch, signal);
    if (faulty.length === 0) throw error;
    await drop(store, stream, batch, faulty, 'INVALID_REQUEST');
    batch = await store.getClaimedBatch(streamId, seq);
    if (batch.edits.length === 0) return { edits: 0, seconds: secondsSince(start) };
    found = await resolve(dependencies, stream, batch, signal);
  }
  await store.updateEdits(streamId, found.baselines);

  let { result } = found;
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

/** Edits whose time has come since the batch was claimed. What a revocation writes again is left to the next one. */
function expired(batch: ClaimedBatch): EditOutcome[] {
  if (batch.revocationId !== null) return [];
  return batch.edits.flatMap(({ id, expiresAt }) =>
    expiresAt !== null && Date.parse(expiresAt) <= Date.now()
      ? [{ editId: id, status: 'rejected' as const, reason: `expired at ${expiresAt}, before it was written` }]
      : [],
  );
}

/** Takes edits out of their batch. Those that a revocation writes again stay as they were written: it ends instead. */
async function drop(
  store: Dependencies['store'],
  stream: Stream,
  batch: ClaimedBatch,
  outcomes: readonly EditOutcome[],
  code: ErrorCode,
): Promise<void> {
  const [first] = outcomes;
  if (batch.revocationId !== null)
    throw new ErrataError(code, `edit ${first.editId} cannot be written again: ${first.reason}`);
  await store.dropFromBatch(stream.id, batch.seq, outcomes);
}

interface Resolution {
  readonly baselines: EditOutcome[];
  readonly result: ResolveResult;
}

async function resolve(
  dependencies: Dependencies,
  stream: Stream,
  batch: ClaimedBatch,
  signal: AbortSignal,
): Promise<Resolution> {
  const baselines = await measureBaselines(dependencies, stream, batch.edits, signal);
  return { baselines, result: await search(dependencies, stream, batch, signal) };
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

/** Whether the runtime refused what it was asked, such as a text longer than the model's context or its own memory. */
function isRefusal(error: unknown): error is ErrataError {
  return error instanceof ErrataError && (error.code === 'INVALID_REQUEST' || error.code === 'OUT_OF_MEMORY');
}

/** The edits that the runtime refuses when it is asked for each alone; one step of the search is enough to tell. */
async function findFaulty(
  dependencies: Dependencies,
  stream: Stream,
  batch: ClaimedBatch,
  signal: AbortSignal,
): Promise<EditOutcome[]> {
  const brief: Stream = { ...stream, config: { ...stream.config, maxSteps: 1 } };
  const outcomes: EditOutcome[] = [];
  for (const edit of batch.edits) {
    try {
      await resolve(dependencies, brief, { ...batch, edits: [edit] }, signal);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      outcomes.push({ editId: edit.id, status: 'rejected', reason: error.message });
    }
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
