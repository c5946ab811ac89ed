import { type EditorConfig, ErrataError } from '@errata/contracts';
import type { Deltas, Model, Pause } from '@errata/model';
import { checkLayers } from './check-layers.js';
import type { EditText } from './lookup.js';
import { mergeSuffixes } from './merge-suffixes.js';
import { type PlannedEdit, plannedEdits, planSearches } from './search-plan.js';
import type { SearchState, TargetFigures } from './search-state.js';
import { disposeSuffixes, prepareSuffixes, type Suffixes } from './suffixes.js';
import { targetRows } from './target-rows.js';
import { disposeSearch, dropFinished, type Search, searchStep, startSearch } from './target-search.js';

/** How far a target search has come. */
export interface TargetProgress {
  readonly step: number;
  readonly steps: number;
  readonly finishedEdits: number;
  readonly meanLoss: number;
}

export interface ResolvedTargets {
  /** z, column-major [hidden size × edits] */
  readonly targets: Float32Array;
  readonly figures: readonly TargetFigures[];
}

/** One caller's edits in a search that others may be part of. */
export interface TargetRequest {
  readonly edits: readonly EditText[];
  readonly config: EditorConfig;
  readonly deltas?: Deltas;
  /** Takes the request's edits out of the search when it aborts. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: TargetProgress) => void;
  /** Called once, as soon as the request's own edits are through. */
  readonly settle: (outcome: PromiseSettledResult<ResolvedTargets>) => void;
}

export interface JointOptions {
  readonly pause?: Pause;
  /** Bytes that a search may hold beside the weights; edits that need more together are searched in parts. */
  readonly memoryBytes?: number;
  /** Keep finished edits in the batch; only tests want that. */
  readonly keepFinished?: boolean;
}

/**
 * Searches the targets of several requests in one loop. Layers up to the last edited one, the only ones that differ between
 * streams, are run for each request with its own changes; the loop runs the layers above, which all have in
 * common. So requests with different last layers do not share a loop, and run one after the other. A request that is
 * refused or given up leaves the others alone. Ends when every request is settled; what breaks the loop itself
 * settles those that are not.
 */
export async function resolveTogether(
  model: Model,
  requests: readonly TargetRequest[],
  options: JointOptions = {},
): Promise<void> {
  const callers = requests.map((request) => new Caller(model, request));
  const { memoryBytes = Number.POSITIVE_INFINITY } = options;
  try {
    const groups = new Map<string, PlannedEdit[]>();
    for (const [index, caller] of callers.entries())
      caller.attempt(() => {
        const { edits, config, deltas = new Map() } = caller.request;
        checkLayers(model, config);
        if (edits.length === 0) throw new ErrataError('INVALID_REQUEST', 'the request holds no edits');
        const rows = targetRows(model, edits, config);
        const { last } = caller;
        const planned = plannedEdits(model, { request: index, rows, from: last + 1, memoryBytes });
        const alone = [...deltas.keys()].some((layer) => layer > last);
        const key = alone ? `${last} ${index}` : `${last}`;
        groups.set(key, [...(groups.get(key) ?? []), ...planned]);
      });
    for (const edits of groups.values()) {
      const { last } = callers[edits[0].request];
      const searches = planSearches(model, edits, { from: last + 1, memoryBytes });
      for (const search of searches) for (const index of requestsOf(search)) callers[index].searches++;
      for (const search of searches) await runSearch(model, search, callers, options);
    }
  } catch (error) {
    if (!(error instanceof NobodyWaits)) for (const caller of callers) caller.fail(error);
  }
}

/** A request while it is searched. */
class Caller {
  readonly last: number;
  /** Searches that its edits are spread over, and those behind it. */
  searches = 0;
  #searched = 0;
  #settled = false;
  readonly #states: (SearchState | null)[];

  constructor(
    private readonly model: Model,
    readonly request: TargetRequest,
  ) {
    this.last = request.config.layers[request.config.layers.length - 1];
    this.#states = request.edits.map(() => null);
  }

  /** Whether nothing more is to be done for it; a caller that has gone is settled by asking. */
  isSettled(): boolean {
    if (this.request.signal?.aborted) this.fail(this.request.signal.reason);
    return this.#settled;
  }

  /** Runs a part of the work that is this request's alone: what it throws is its own. */
  attempt(work: () => void): void {
    try {
      if (!this.isSettled()) work();
    } catch (error) {
      this.fail(error);
    }
  }

  fail(reason: unknown): void {
    if (this.#settled) return;
    this.#settled = true;
    this.request.settle({ status: 'rejected', reason });
  }

  enter(edit: number, state: SearchState): void {
    this.#states[edit] = state;
  }

  /** Reports a step of a search, and the result after the last. @returns whether the search is through with its edits */
  stepped(step: number, own: readonly SearchState[]): boolean {
    if (this.isSettled()) return true;
    const { config, onProgress } = this.request;
    const steps = config.resolver === 'one-shot' ? 1 : config.maxSteps;
    const measured = this.#states.filter((state) => state !== null);
    onProgress?.({
      step: this.#searched * steps + step + 1,
      steps: this.searches * steps,
      finishedEdits: measured.filter((state) => state.done).length,
      meanLoss: measured.reduce((sum, state) => sum + state.loss, 0) / measured.length,
    });
    if (!own.every((state) => state.over)) return false;
    if (++this.#searched === this.searches) this.#succeed(measured);
    return true;
  }

  #succeed(states: readonly SearchState[]): void {
    this.#settled = true;
    const size = this.model.config.hiddenSize;
    const targets = new Float32Array(states.length * size);
    states.forEach((state, edit) => {
      targets.set(state.target(), edit * size);
    });
    this.request.settle({ status: 'fulfilled', value: { targets, figures: states.map((state) => state.figures()) } });
  }
}

/** Ends a search whose requests are all settled. */
class NobodyWaits extends Error {}

async function runSearch(
  model: Model,
  edits: readonly PlannedEdit[],
  callers: readonly Caller[],
  options: JointOptions,
): Promise<void> {
  const present = requestsOf(edits).map((index) => callers[index]);
  const pause = async (): Promise<void> => {
    await options.pause?.();
    if (callers.every((caller) => caller.isSettled())) throw new NobodyWaits();
  };
  const prepared = await prepare(model, edits, callers, pause);
  if (!prepared) return;
  const { suffixes, seated } = prepared;
  const from = present[0].last + 1;
  const keepFinished = options.keepFinished ?? false;
  const deltas = present.length === 1 ? present[0].request.deltas : undefined;
  let search: Search | undefined;
  try {
    search = await startSearch(
      model,
      suffixes,
      seated.map(({ request }) => callers[request].request.config),
    );
    const owned = new Map<Caller, SearchState[]>();
    for (const [place, { request, edit }] of seated.entries()) {
      const state = search.states[place];
      callers[request].enter(edit, state);
      owned.set(callers[request], [...(owned.get(callers[request]) ?? []), state]);
    }
    for (let step = 0, goesOn = true; goesOn; step++) {
      goesOn = await searchStep(model, search, from, { pause, keepFinished, ...(deltas && { deltas }) });
      for (const [caller, states] of owned) {
        if (!caller.stepped(step, states)) continue;
        for (const state of states) state.over = true;
        owned.delete(caller);
      }
      goesOn &&= search.states.some((state) => !state.over);
      if (goesOn && !keepFinished) dropFinished(model, search);
    }
  } finally {
    if (search) disposeSearch(model, search);
    else disposeSuffixes(model, suffixes);
  }
}

/** The suffixes of all requests that can be prepared, and the edits in them by the number that their rows name. */
async function prepare(
  model: Model,
  edits: readonly PlannedEdit[],
  callers: readonly Caller[],
  pause: Pause,
): Promise<{ suffixes: Suffixes; seated: readonly PlannedEdit[] } | null> {
  const parts: Suffixes[] = [];
  const seated: PlannedEdit[] = [];
  try {
    for (const index of requestsOf(edits)) {
      const caller = callers[index];
      if (caller.isSettled()) continue;
      const own = edits.filter(({ request }) => request === index);
      const rows = own.flatMap((planned, place) =>
        planned.rows.map((row) => ({ ...row, edit: seated.length + place })),
      );
      const { deltas } = caller.request;
      try {
        parts.push(await prepareSuffixes(model, rows, caller.last, { pause, ...(deltas && { deltas }) }));
        seated.push(...own);
      } catch (error) {
        if (error instanceof NobodyWaits) throw error;
        caller.fail(error);
      }
    }
    return parts.length === 0 ? null : { suffixes: mergeSuffixes(model, parts), seated };
  } catch (error) {
    for (const part of parts) disposeSuffixes(model, part);
    throw error;
  }
}

function requestsOf(edits: readonly PlannedEdit[]): number[] {
  return [...new Set(edits.map(({ request }) => request))];
}
