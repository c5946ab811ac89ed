import {
  ageBuckets,
  type Edit,
  type GuardSettings,
  type ProbeKind,
  type ProbeResults,
  type Stream,
} from '@errata/contracts';
import type { CallLimits, ModelRuntime, StateRef } from '@errata/rpc';
import type { SampledEdit, Store } from '@errata/store';
import { continuation, shown } from '../activities/probes.js';
import { cloze } from './cloze.js';

/** What a round of probes works with. */
export interface ProbeSubject {
  readonly store: Pick<Store, 'listCanaries' | 'sampleEdits' | 'settleCanaries'>;
  readonly runtime: Pick<ModelRuntime, 'score' | 'divergence'>;
  readonly stream: Stream;
  readonly seq: number;
  readonly settings: GuardSettings;
  /** Edits that the batch wrote. */
  readonly written: readonly Edit[];
  readonly limits: CallLimits;
  /** Whether canaries remember what was found: not where another position than the head is looked at. */
  readonly keep: boolean;
}

type Measure<Kind extends ProbeKind> = (subject: Probing) => Promise<ProbeResults[Kind] | null>;

interface Probing extends ProbeSubject {
  readonly state: StateRef;
  readonly base: StateRef;
  /** Drawn once a round. */
  readonly sample: () => Promise<readonly SampledEdit[]>;
}

interface Item {
  readonly prompt: string;
  readonly continuation: string;
}

/** Which questions of general knowledge the unedited model answers right, by model: it never changes. */
const known = new Map<string, readonly boolean[]>();

async function exact(
  { runtime, limits }: ProbeSubject,
  state: StateRef,
  items: readonly Item[],
): Promise<readonly boolean[]> {
  if (items.length === 0) return [];
  return (await runtime.score({ state, items: [...items] }, limits)).results.map((result) => result.exact);
}

const canaries: Measure<'canaries'> = async (subject) => {
  const { store, stream, seq, state, base, keep } = subject;
  const all = await store.listCanaries(stream.id);
  if (all.length === 0) return null;
  const itemOf = ({ prompt, expected }: { prompt: string; expected: string }) => ({
    prompt,
    continuation: continuation(expected),
  });
  const fresh = all.filter(({ baseHolds }) => baseHolds === null);
  const before = await exact(subject, base, fresh.map(itemOf));
  const after = await exact(subject, state, all.map(itemOf));
  const found = all.map((canary, i) => ({
    name: canary.name,
    baseHolds: canary.baseHolds ?? before[fresh.indexOf(canary)],
    holds: after[i],
    heldSeq: canary.heldSeq,
  }));
  if (keep) await store.settleCanaries(stream.id, seq, found);
  const lost = found.filter(({ holds, baseHolds, heldSeq }) => !holds && (baseHolds || heldSeq !== null));
  return { seq, asked: all.length, held: after.filter(Boolean).length, lost: lost.map(({ name }) => name) };
};

const retention: Measure<'retention'> = async (subject) => {
  const { seq, state } = subject;
  const drawn = await subject.sample();
  if (drawn.length === 0) return null;
  const items = drawn.map(({ edit }) => ({ prompt: shown(edit), continuation: continuation(edit.target) }));
  const holds = await exact(subject, state, items);
  const byAge = ageBuckets.flatMap((age) => {
    const of = holds.filter((_, i) => drawn[i].age === age);
    return of.length === 0 ? [] : [{ age, asked: of.length, held: of.filter(Boolean).length }];
  });
  return { seq, asked: holds.length, held: holds.filter(Boolean).length, byAge };
};

/** Prompts that belong to edits, each asked for the target against what the unedited model said. */
function pairs(
  kind: 'paraphrases' | 'neighbours',
  held: (target: number, earlier: number) => boolean,
): (subject: Probing) => Promise<{ seq: number; asked: number; held: number } | null> {
  return async (subject) => {
    const { seq, state, written, settings, runtime, limits } = subject;
    const edits = [...written, ...(await subject.sample()).map(({ edit }) => edit)];
    // One of each edit, then the next of each: so that many of one edit do not keep the others out.
    const most = Math.max(0, ...edits.map((edit) => edit[kind].length));
    const asked = Array.from({ length: most }, (_, k) => k)
      .flatMap((k) => edits.map((edit) => ({ edit, prompt: edit[kind][k], earlier: edit.baseline?.[kind][k] })))
      .flatMap(({ edit, prompt, earlier }) =>
        prompt === undefined || earlier === undefined || earlier === ''
          ? []
          : [{ prompt, target: continuation(edit.target), earlier }],
      )
      .slice(0, settings.probes.edits);
    if (asked.length === 0) return null;
    const items = asked.flatMap(({ prompt, target, earlier }) => [
      { prompt, continuation: target },
      { prompt, continuation: earlier },
    ]);
    const { results } = await runtime.score({ state, items }, limits);
    const right = asked.filter((_, i) => held(results[2 * i].nll, results[2 * i + 1].nll)).length;
    return { seq, asked: asked.length, held: right };
  };
}

const ability: Measure<'ability'> = async (subject) => {
  const { seq, state, base, stream, settings } = subject;
  if (!settings.probes.ability) return null;
  const items = cloze.map(([prompt, answer]) => ({ prompt, continuation: continuation(answer) }));
  const before = known.get(stream.modelId) ?? (await exact(subject, base, items));
  known.set(stream.modelId, before);
  const asked = items.filter((_, i) => before[i]);
  const holds = await exact(subject, state, asked);
  return { seq, asked: asked.length, held: holds.filter(Boolean).length };
};

const heldOut: Measure<'heldOut'> = async ({ runtime, state, seq, settings, limits }) => {
  const { windows } = settings.probes;
  if (windows === 0) return null;
  return { seq, ...(await runtime.divergence({ state, windows }, limits)) };
};

const measures: { readonly [Kind in ProbeKind]: Measure<Kind> } = {
  canaries,
  retention,
  neighbours: pairs('neighbours', (target, earlier) => !(target < earlier)),
  paraphrases: pairs('paraphrases', (target, earlier) => target < earlier),
  ability,
  heldOut,
};

/** A round at one position of the log: measures kinds one by one. Answers null where there is nothing to ask. */
export function probing(
  subject: ProbeSubject,
): <Kind extends ProbeKind>(kind: Kind) => Promise<ProbeResults[Kind] | null> {
  const { store, stream, seq, settings } = subject;
  let sample: Promise<readonly SampledEdit[]> | undefined;
  const whole: Probing = {
    ...subject,
    state: { streamId: stream.id, seq, staged: [] },
    base: { streamId: stream.id, seq: 0, staged: [] },
    sample: () => {
      sample ??= store.sampleEdits(stream.id, seq, settings.probes.edits);
      return sample;
    },
  };
  return (kind) => measures[kind](whole);
}
