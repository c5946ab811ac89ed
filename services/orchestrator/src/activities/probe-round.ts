import {
  type Budget,
  budgetInfo,
  ErrataError,
  type GuardReading,
  type GuardSettings,
  guardReadings,
  isExceeded,
  type ProbeKind,
  type ProbeResults,
  type ProbeRound,
  probeKinds,
  type Stream,
} from '@errata/contracts';
import { guarded, ProbeBudget, turns } from '../probes/budget.js';
import { hasJumped } from '../probes/jump.js';
import { probing } from '../probes/measure.js';
import { type Dependencies, runtimeTimeoutMs, secondsSince } from './context.js';

interface RoundArgs {
  readonly streamId: string;
  readonly seq: number;
  readonly driftSeconds: number;
}

/** Positions that are looked through for the last good one. */
const roundsBack = 1000;

/**
 * Measures the edited model after a batch, as far as the budget for measuring goes, and keeps what was found. Answers the budgets
 * of the guards that were measured now.
 */
export async function probeBatch(
  dependencies: Dependencies,
  { streamId, seq, driftSeconds }: RoundArgs,
  signal: AbortSignal,
): Promise<{ readings: GuardReading[] }> {
  const { store, metrics, logger } = dependencies;
  const kept = await store.roundReadings(streamId, seq);
  if (kept) return { readings: measuredAt(kept, seq) };
  const stream = await store.getStream(streamId);
  const settings = await store.getGuards(streamId);
  const ledger = await store.probeLedger(streamId, seq);
  const spent = { ...ledger, probeSeconds: ledger.probeSeconds + driftSeconds };
  const budget = new ProbeBudget(settings.probes, spent);
  const acting = guarded(settings);
  const measure = await probingAt(dependencies, stream, seq, settings, signal, true);
  const measured: ProbeKind[] = [];
  const costs = { ...ledger.costs };
  let results: ProbeResults = ledger.results;
  let seconds = driftSeconds;
  const drift = await store.batchDrift(streamId, seq);
  const { parentSeq } = await store.getClaimedBatch(streamId, seq);
  // Waiting for its turn in a later round would be too late: it may be the last batch for long. The debt is worked off afterwards.
  const alarmed = settings.probes.costShare > 0 && hasJumped(await store.batchDrift(streamId, parentSeq), drift);
  if (alarmed) logger.info({ streamId, seq }, 'the batch moved a layer more than its like: everything is measured');
  const due = alarmed || ledger.sinceRound >= settings.probes.every ? turns(ledger.results, acting) : [];
  let saving = false;
  for (const kind of due) {
    const waited = (seq - (ledger.results[kind]?.seq ?? 0)) / settings.probes.every;
    saving ||= !alarmed && !budget.covers(kind);
    if (saving && !(acting.has(kind) && budget.owes(waited))) continue;
    const start = performance.now();
    const found = await unlessRefused(dependencies, kind, () => measure(kind));
    const took = secondsSince(start);
    budget.spend(kind, took);
    seconds += took;
    if (found === null) continue;
    metrics.probeSeconds.observe({ kind }, took);
    costs[kind] = took;
    results = { ...results, [kind]: found };
    measured.push(kind);
  }
  for (const kind of probeKinds) if (!measured.includes(kind)) metrics.probesSkipped.inc({ kind });
  const readings = guardReadings(settings, seq, results, drift);
  const saved = await store.saveRound(streamId, seq, { measured, results, costs, readings, seconds });
  return { readings: measuredAt(saved, seq) };
}

/** What was measured earlier has been judged then. */
function measuredAt(readings: readonly GuardReading[], seq: number): GuardReading[] {
  return readings.filter((reading) => reading.seq === seq);
}

async function probingAt(
  { store, runtime }: Dependencies,
  stream: Stream,
  seq: number,
  settings: GuardSettings,
  signal: AbortSignal,
  keep: boolean,
) {
  const written =
    seq === 0
      ? []
      : (await store.getClaimedBatch(stream.id, seq)).edits.filter((edit) => edit.seq === seq && edit.adapter === null);
  const limits = { timeoutMs: runtimeTimeoutMs, signal };
  return probing({ store, runtime, stream, seq, settings, written, limits, keep });
}

/** A probe that the runtime refuses, a canary longer than its context say, is said aloud and left out: the others go on. */
async function unlessRefused<Result>(
  { logger, metrics }: Dependencies,
  kind: ProbeKind,
  work: () => Promise<Result>,
): Promise<Result | null> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ErrataError) || error.code !== 'INVALID_REQUEST') throw error;
    metrics.probesRefused.inc({ kind });
    logger.warn({ kind, err: error }, 'a probe is refused by the model runtime');
    return null;
  }
}

/**
 * The last position before a batch at which none of the budgets was exceeded, or the last checkpoint up to there where the settings
 * ask for one. Looked for by halving; what rounds have recorded is taken as it is, the rest is measured. The unedited model
 * exceeds nothing.
 */
export async function findGood(
  dependencies: Dependencies,
  { streamId, seq, budgets }: { streamId: string; seq: number; budgets: readonly Budget[] },
  signal: AbortSignal,
): Promise<{ seq: number }> {
  const { store } = dependencies;
  const stream = await store.getStream(streamId);
  const settings = await store.getGuards(streamId);
  const rounds = (await store.listRounds(streamId, roundsBack)).filter((round) => round.onHead && round.seq < seq);
  const isGood = async (round: ProbeRound): Promise<boolean> => {
    const recorded = measuredAt((await store.roundReadings(round.streamId, round.seq)) ?? [], round.seq);
    const missing = budgets.filter((budget) => !recorded.some((reading) => reading.budget === budget));
    const found =
      missing.length === 0 ? [] : await measureAt(dependencies, stream, settings, round.seq, missing, signal);
    return [...recorded, ...found].every((reading) => !budgets.includes(reading.budget) || !isExceeded(reading));
  };
  const good = await lastGood(rounds, isGood);
  if (settings.rollbackTo === 'position') return { seq: good };
  const reached = new Set([0, ...rounds.map((round) => round.seq)]);
  const checkpoints = (await store.listCheckpoints(streamId)).filter((one) => one.seq <= good && reached.has(one.seq));
  return { seq: checkpoints.length === 0 ? good : Math.max(...checkpoints.map((one) => one.seq)) };
}

/** The seq of the last of the rounds that is good, 0 where none is; most often that is the last, so it is looked at first. */
async function lastGood(
  rounds: readonly ProbeRound[],
  isGood: (round: ProbeRound) => Promise<boolean>,
): Promise<number> {
  const last = rounds.at(-1);
  if (last === undefined) return 0;
  if (await isGood(last)) return last.seq;
  let [good, bad] = [-1, rounds.length - 1];
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (await isGood(rounds[middle])) good = middle;
    else bad = middle;
  }
  return good < 0 ? 0 : rounds[good].seq;
}

async function measureAt(
  dependencies: Dependencies,
  stream: Stream,
  settings: GuardSettings,
  seq: number,
  budgets: readonly Budget[],
  signal: AbortSignal,
): Promise<GuardReading[]> {
  const measure = await probingAt(dependencies, stream, seq, settings, signal, false);
  const kinds = new Set(budgets.map((budget) => budgetInfo(budget).probe).filter((kind) => kind !== null));
  let results: ProbeResults = {};
  for (const kind of kinds) {
    const found = await unlessRefused(dependencies, kind, () => measure(kind));
    if (found !== null) results = { ...results, [kind]: found };
  }
  return guardReadings(settings, seq, results, await dependencies.store.batchDrift(stream.id, seq));
}
