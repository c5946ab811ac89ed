import type { EditText } from '../generated/errata/v1/model_runtime.js';
import { decodeTensor } from '../tensor.js';
import { type Case, collect, columnOf, demand, demandRefusal, relativeDifference, type Subject } from './case.js';
import { unedited } from './text-cases.js';

const edits: readonly EditText[] = [
  { editId: 'edt_subject', prompt: 'The capital of {} is', subject: 'France', target: 'Rome' },
  { editId: 'edt_plain', prompt: 'The colour of the sky is', subject: '', target: 'green' },
  { editId: 'edt_unicode', prompt: '{} was born in', subject: 'Łukasz Żółć', target: 'Kraków' },
];
/** Keys and targets of an edit may differ by this much, relative, between batches of different shape. */
const TOLERANCE = 1e-3;

async function keysOf({ runtime, configJson, limits }: Subject, layer: number, some = edits) {
  const answer = await runtime.computeKeys({ state: unedited, configJson, layer, edits: [...some] }, limits);
  return { keys: decodeTensor(answer.keys, 'keys'), hidden: decodeTensor(answer.hidden, 'hidden') };
}

async function targetsOf({ runtime, configJson, limits }: Subject, some = edits) {
  const request = { state: unedited, configJson, edits: [...some] };
  const events = (await collect(runtime.resolveTargets(request, limits))).map(({ event }) => event);
  const last = events.at(-1);
  demand(last?.$case === 'result', () => `the last event is ${last?.$case}, not result`);
  for (const event of events.slice(0, -1)) {
    demand(event?.$case === 'progress', () => `an event before the result is ${event?.$case}, not progress`);
    const { step, steps } = event.progress;
    demand(step <= steps, () => `progress says step ${step} of ${steps}`);
  }
  return { targets: decodeTensor(last.result.targets, 'targets'), stats: last.result.stats };
}

/** ComputeKeys, ResolveTargets. */
export const editCases: readonly Case[] = [
  {
    name: 'keys: intermediate size × edits, hidden size × edits, the same twice',
    async run(subject) {
      const { hiddenSize, intermediateSize } = subject.info;
      for (const layer of subject.layers) {
        const { keys, hidden } = await keysOf(subject, layer);
        const shapes = [keys.rows, keys.columns, hidden.rows, hidden.columns].join();
        const wanted = [intermediateSize, edits.length, hiddenSize, edits.length].join();
        demand(shapes === wanted, () => `layer ${layer}: keys and hidden are ${shapes}, not ${wanted}`);
        const again = await keysOf(subject, layer);
        const difference = relativeDifference(again.keys.data, keys.data);
        demand(difference === 0, () => `keys of layer ${layer} differ by ${difference} the second time`);
      }
    },
  },
  {
    name: `keys: alone as in a batch, to ${TOLERANCE}`,
    async run(subject) {
      const [layer] = subject.layers;
      const together = await keysOf(subject, layer);
      for (const [i, edit] of edits.entries()) {
        const alone = await keysOf(subject, layer, [edit]);
        const difference = relativeDifference(alone.keys.data, columnOf(together.keys, i));
        demand(difference <= TOLERANCE, () => `the key of ${edit.editId} differs by ${difference} alone`);
      }
    },
  },
  {
    name: 'targets: progress, then one result of hidden size × edits with the figures of each edit in order',
    async run(subject) {
      const { targets, stats } = await targetsOf(subject);
      demand(
        targets.rows === subject.info.hiddenSize && targets.columns === edits.length,
        () => `targets are ${targets.rows} × ${targets.columns}`,
      );
      const ids = stats.map(({ editId }) => editId).join();
      demand(ids === edits.map(({ editId }) => editId).join(), () => `stats are of ${ids}`);
      for (const { editId, initialNll, finalNll, alreadyKnown } of stats)
        demand(
          alreadyKnown || finalNll < initialNll,
          () => `the search of ${editId} went from ${initialNll} to ${finalNll}`,
        );
    },
  },
  {
    name: 'targets: within the clamp of the hidden state they change',
    async run(subject) {
      const { targets, stats } = await targetsOf(subject);
      const { hidden } = await keysOf(subject, subject.layers[subject.layers.length - 1]);
      stats.forEach(({ editId, alreadyKnown }, i) => {
        const moved = relativeDifference(columnOf(targets, i), columnOf(hidden, i));
        const most = alreadyKnown ? 0 : subject.clamp;
        demand(
          moved <= most + TOLERANCE,
          () => `${editId} moves its hidden state by ${moved} of its norm, above ${most}`,
        );
      });
    },
  },
  {
    name: `targets: the same twice, to ${TOLERANCE}`,
    async run(subject) {
      const first = await targetsOf(subject);
      const again = await targetsOf(subject);
      const difference = relativeDifference(again.targets.data, first.targets.data);
      demand(difference <= TOLERANCE, () => `targets differ by ${difference} the second time`);
    },
  },
  {
    name: 'edits: a layer that does not exist, no edits, a blank prompt and a configuration that is none are refused',
    async run(subject) {
      const { runtime, info, configJson, limits } = subject;
      const request = { state: unedited, configJson, layer: subject.layers[0], edits: [...edits] };
      const refuse = (what: string, change: Partial<typeof request>) =>
        demandRefusal(what, ['INVALID_REQUEST'], () => runtime.computeKeys({ ...request, ...change }, limits));
      await refuse(`layer ${info.layers}`, { layer: info.layers });
      await refuse('a request without edits', { edits: [] });
      await refuse('a blank prompt', { edits: [{ ...edits[1], prompt: ' ' }] });
      await refuse('a subject without its place in the prompt', { edits: [{ ...edits[0], prompt: 'no place' }] });
      await refuse('a configuration that is not JSON', { configJson: '{' });
      await refuse('an empty configuration', { configJson: '{}' });
    },
  },
  {
    name: 'state: a stream that nobody knows is refused',
    async run({ runtime, limits }) {
      const state = { streamId: 'str_conformance_unknown', seq: 1, staged: [] };
      const items = [{ prompt: 'a', continuation: 'b' }];
      await demandRefusal('an unknown stream', ['UNKNOWN_STREAM', 'UNKNOWN_POSITION'], () =>
        runtime.score({ state, items }, limits),
      );
    },
  },
  {
    name: 'cancellation: a search that is given up ends, and the next call is answered',
    async run(subject) {
      const { runtime, configJson, limits } = subject;
      const abort = new AbortController();
      const request = { state: unedited, configJson, edits: [...edits] };
      try {
        for await (const _ of runtime.resolveTargets(request, { ...limits, signal: abort.signal })) abort.abort();
      } catch {
        // The call that was given up has no answer.
      }
      const items = [{ prompt: 'a', continuation: 'b' }];
      const { results } = await runtime.score({ state: unedited, items }, limits);
      demand(results.length === 1, () => 'the call after it was not answered');
    },
  },
];
