import { setImmediate } from 'node:timers/promises';
import { ErrataError } from '@errata/contracts';
import {
  type Columns,
  type Columns64,
  changeNorm,
  createInverse,
  createState,
  type InverseCovariance,
  importAdapter,
  type LayerState,
  measureState,
  type RefreshOptions,
  RlsError,
  type RlsParts,
  type Update,
  verifyState,
} from '@errata/rls';
import type { EngineJobs, InverseInput, StateInput, StateReport, UpdateOutput } from './engine-protocol.js';

/** Rows of W − W₀ read at once. */
const ROWS_AT_ONCE = 64;

/** What is kept of the input of an inverse: the moment is large, and asked for again when it is needed. */
type InverseKept = Omit<InverseInput, 'moment'>;

/** The jobs of the engine thread, and what lives there: inverses and states by number. */
export class EngineHost implements EngineJobs {
  readonly #parts: RlsParts;
  readonly #inverses = new Map<number, { readonly inverse: InverseCovariance; readonly input: InverseKept }>();
  readonly #states = new Map<number, LayerState>();

  /**
   * @param readMoment second moment of a covariance, d × d
   * @param fallbackReason why the native engine was not used where it was wanted
   */
  constructor(
    parts: RlsParts,
    private readonly readMoment: (covariance: string) => Promise<Float32Array>,
    private readonly fallbackReason: string | null,
  ) {
    this.#parts = parts;
  }

  describe() {
    const { name, description } = this.#parts.engine;
    return { name, description, fallbackReason: this.fallbackReason };
  }

  async openInverse({ moment, ...input }: InverseInput, signal: AbortSignal) {
    const { precision, policy, share, scratch } = input;
    const options = { precision, policy, share, signal, ...(scratch !== null && { scratch }) };
    const inverse = await createInverse(this.#parts, { ...sourceOf(input), moment }, options);
    this.#inverses.set(input.inverse, { inverse, input });
    const { lambda, requestedLambda, condition, bytes } = inverse;
    return { lambda, requestedLambda, condition, bytes, precision: inverse.precision };
  }

  closeInverse({ inverse }: { readonly inverse: number }): void {
    this.#inverses.get(inverse)?.inverse.dispose();
    this.#inverses.delete(inverse);
  }

  async openState({ state: number, inverse, ...shape }: Parameters<EngineJobs['openState']>[0]): Promise<StateReport> {
    const open = this.#inverses.get(inverse);
    if (open === undefined) throw gone('inverse', inverse);
    const { covariance } = open.input;
    const state = await createState(this.#parts, open.inverse, {
      ...shape,
      source: async () => ({ ...sourceOf(open.input), moment: await this.readMoment(covariance) }),
    });
    this.#states.set(number, state);
    return reportOf(state);
  }

  closeState({ state }: { readonly state: number }): void {
    this.#states.get(state)?.dispose();
    this.#states.delete(state);
  }

  async append({ batches, ...input }: Parameters<EngineJobs['append']>[0], signal: AbortSignal) {
    const { state, inversion } = await this.#at(input, signal);
    const start = performance.now();
    for (const batch of batches) {
      signal.throwIfAborted();
      await state.append(batch, inversion);
      // Lets an abort come through.
      await setImmediate();
    }
    return { ...reportOf(state), seconds: (performance.now() - start) / 1000 };
  }

  async snapshot(input: StateInput, signal: AbortSignal) {
    const { state } = await this.#at(input, signal);
    return state.snapshot();
  }

  async restore({ snapshot, batches, ...input }: Parameters<EngineJobs['restore']>[0], signal: AbortSignal) {
    const { state } = await this.#at(input, signal);
    await state.restore(snapshot, batches);
    return reportOf(state);
  }

  async product({ keys, ...input }: Parameters<EngineJobs['product']>[0], signal: AbortSignal) {
    const { state } = await this.#at(input, signal);
    if ('data' in keys) return { product: await state.inverseTimes(keys), residual: null };
    const product = await state.inverseTimes(state.keysOf(keys));
    return { product, residual: await state.residualOf(keys) };
  }

  async apply(
    { keys, residual, weights, product, ...input }: Parameters<EngineJobs['apply']>[0],
    signal: AbortSignal,
  ): Promise<UpdateOutput> {
    const { state } = await this.#at(input, signal);
    return timed(() => state.apply(keys, residual, { ...(weights && { weights }), ...(product && { product }) }));
  }

  async import({ g, b, own, ...input }: Parameters<EngineJobs['import']>[0], signal: AbortSignal) {
    const { state } = await this.#at(input, signal);
    return timed(() => importAdapter(this.#parts, state, { g, b, own }));
  }

  async revoke({ positions, given, ...input }: Parameters<EngineJobs['revoke']>[0], signal: AbortSignal) {
    const { state, inversion } = await this.#at(input, signal);
    return timed(() => state.revoke(positions, { ...given, ...inversion }));
  }

  async stats(input: StateInput, signal: AbortSignal) {
    const { state } = await this.#at(input, signal);
    return { ...(await measureState(this.#parts, state)), ...reportOf(state) };
  }

  async verify(input: StateInput, signal: AbortSignal) {
    const { state, inversion } = await this.#at(input, signal);
    return verifyState(this.#parts, state, inversion);
  }

  async refresh(input: StateInput, signal: AbortSignal) {
    const { state, inversion } = await this.#at(input, signal);
    const { deviation } = await state.refresh(inversion);
    return { ...reportOf(state), found: deviation };
  }

  async fold(input: StateInput, signal: AbortSignal): Promise<StateReport> {
    const { state } = await this.#at(input, signal);
    await state.fold();
    return reportOf(state);
  }

  distance({ factors }: Parameters<EngineJobs['distance']>[0], signal: AbortSignal): Promise<number> {
    return changeNorm(this.#parts.linalg, factors, signal);
  }

  async delta(input: StateInput, signal: AbortSignal) {
    const { state } = await this.#at(input, signal);
    const { start, end } = state.rows;
    const rows = end - start;
    const columns = state.inputs;
    const data = new Float32Array(rows * columns);
    for (let first = 0; first < rows; first += ROWS_AT_ONCE) {
      const count = Math.min(ROWS_AT_ONCE, rows - first);
      const block = await state.deltaRows(start + first, count);
      for (let i = 0; i < count; i++)
        for (let j = 0; j < columns; j++) data[j * rows + first + i] = block[i * columns + j];
    }
    return { rows, columns, data };
  }

  /** The state that is meant, and how it may invert. */
  async #at(
    { state: number, segments, room: { memoryBytes, scratch } }: StateInput,
    signal: AbortSignal,
  ): Promise<{ readonly state: LayerState; readonly inversion: RefreshOptions }> {
    const inversion = { memoryBytes, signal, ...(scratch !== null && { scratch }) };
    const state = this.#states.get(number);
    if (state === undefined) throw gone('state', number);
    if (state.segments.length < segments)
      throw new RlsError('LOG_MISMATCH', `the state has ${state.segments.length} of ${segments} batches`);
    // Also what a job that failed half-way left behind.
    await state.truncate(segments, inversion);
    return { state, inversion };
  }
}

function sourceOf({ lambda, mu, covarianceWeight, dimension }: InverseKept) {
  return { lambda, mu, covarianceWeight, dimension };
}

/** What the main thread names was in a thread that ended. */
function gone(what: string, number: number): ErrataError {
  return new ErrataError('NOT_READY', `${what} ${number} was lost when the engine thread ended; try again`);
}

function reportOf({ bytes, rank, deviation }: LayerState): StateReport {
  return { bytes, rank, deviation };
}

async function timed(compute: () => Promise<Update>): Promise<UpdateOutput> {
  const start = performance.now();
  const { sign, keys, g, b, rDiagonal, stats } = await compute();
  const seconds = (performance.now() - start) / 1000;
  return { sign, keys: single(keys), g: single(g), b: single(b), rDiagonal: [...rDiagonal], stats, seconds };
}

/** A copy in fp32: the state may remember its own. */
function single({ length, count, data }: Columns64): Columns {
  return { length, count, data: new Float32Array(data) };
}
