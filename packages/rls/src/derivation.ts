import { asRows, norm, toDouble } from './columns.js';
import { RlsError } from './errors.js';
import { importedFactor } from './imported.js';
import type { LayerState } from './layer-state.js';
import type { Columns, Columns64, Segment, Sign } from './notation.js';
import type { RlsParts } from './parts.js';
import { factorOut } from './revocation.js';
import { guardOf, type RefreshOptions } from './state-options.js';
import { keysOf, matchKeys } from './survivors.js';
import { type RightFactor, recordedFactor, rightFactor } from './update.js';

/** What `apply` or `revoke` computed last. */
interface Remembered {
  readonly revision: number;
  readonly sign: Sign;
  readonly keys: Columns64;
  readonly factor: RightFactor;
}

/** R² below which a record is not checked: R from fp32 factors is no measure there. */
const CHECKED_FROM = 1e-2;

/** Whether values are the computed ones, or what fp32 keeps of them. */
function isRecordOf(recorded: Float64Array | Float32Array, computed: Float64Array): boolean {
  if (recorded === computed) return true;
  for (let i = 0; i < computed.length; i++)
    if (recorded[i] !== computed[i] && recorded[i] !== Math.fround(computed[i])) return false;
  return true;
}

/** G and R of recorded batches: derived from their keys, or as recorded, and in how far the two agree. */
export class Derivation {
  readonly #parts: RlsParts;
  readonly #state: LayerState;
  #last: Remembered | null = null;
  #deviation = 0;

  constructor(parts: RlsParts, state: LayerState) {
    this.#parts = parts;
    this.#state = state;
  }

  /** Largest relative difference met. */
  get deviation(): number {
    return this.#deviation;
  }

  /** Takes note of what was met before. */
  met(deviation: number): void {
    this.#deviation = Math.max(this.#deviation, deviation);
  }

  remember(update: Remembered): void {
    this.#last = update;
  }

  /**
   * The factor of a recorded batch and its keys: derived where all of C is held in fp64, else as recorded. Of an imported
   * adapter G is what is recorded, and the keys follow.
   * @param options of an inversion, which a revocation may need
   * @throws RlsError LOG_MISMATCH; INVALID_TENSOR where G is needed and not recorded; as `LayerState.refresh` does
   */
  async factorOf(
    segment: Segment & { readonly imported?: boolean },
    revision: number,
    options: RefreshOptions,
  ): Promise<RightFactor & { readonly keys: Columns }> {
    if (segment.imported || segment.keys === undefined) return importedFactor(this.#parts, this.#state, segment);
    const keys = await this.#asPutIn(segment.keys, segment.sign);
    return { keys, ...(await this.#factorOf(segment, toDouble(keys), revision, options)) };
  }

  /** Keys that a revocation takes out as they were put in: those of an import are recorded to fp32. */
  async #asPutIn(keys: Columns, sign: Sign): Promise<Columns> {
    const { segments, inputs } = this.#state;
    if (sign > 0 || !segments.some((segment) => segment.imported)) return keys;
    return keysOf(await matchKeys(segments, keys), inputs);
  }

  async #factorOf(segment: Segment, keys: Columns64, revision: number, options: RefreshOptions): Promise<RightFactor> {
    const { seq, sign } = segment;
    const state = this.#state;
    const recalled = this.#recall(segment, keys, revision);
    if (segment.g !== undefined && !(state.whole && state.precision === 'fp64')) {
      const g = toDouble(segment.g);
      if (recalled !== null) return { g, r: recalled.r };
      const r = recordedFactor(this.#parts.linalg, keys, g, sign, segment.rDiagonal);
      if (state.whole) await this.#checkRecord(seq, keys, g, r);
      return { g, r };
    }
    const factor = recalled ?? (await this.#compute(seq, sign, keys, options));
    if (segment.g !== undefined) this.#compare(seq, segment.g.data, factor.g.data);
    return factor;
  }

  #recall(segment: Segment, keys: Columns64, revision: number): RightFactor | null {
    const last = this.#last;
    const { g } = segment;
    if (last === null || g === undefined || last.revision !== revision || last.sign !== segment.sign) return null;
    if (last.keys.count !== keys.count || !isRecordOf(keys.data, last.keys.data)) return null;
    return isRecordOf(g.data, last.factor.g.data) ? last.factor : null;
  }

  async #compute(seq: number, sign: Sign, keys: Columns64, options: RefreshOptions): Promise<RightFactor> {
    if (!this.#state.whole)
      throw new RlsError('INVALID_TENSOR', `seq ${seq} has no G, which a state with a share of C needs`);
    const product = await this.#state.inverseTimes(keys);
    if (sign > 0) return rightFactor(this.#parts.linalg, keys, product, 1);
    try {
      return (await factorOut(this.#parts, this.#state, keys, product, options)).factor;
    } catch (error) {
      if (error instanceof RlsError && error.code === 'REVOKE_ILL_CONDITIONED')
        throw new RlsError('LOG_MISMATCH', `seq ${seq} takes out keys that are not in: ${error.message}`);
      throw error;
    }
  }

  /** C (K x) against G (Rᵀ x) for one x: whether the recorded G belongs to this C, at the cost of one column. */
  async #checkRecord(seq: number, keys: Columns64, g: Columns64, r: Float64Array): Promise<void> {
    const { linalg } = this.#parts;
    const u = keys.count;
    for (let i = 0; i < u; i++) if (r[i * u + i] ** 2 < CHECKED_FROM) return;
    const ones = { rows: 1, columns: u, data: new Float64Array(u).fill(1) };
    const data = linalg.matmul(ones, asRows(keys));
    const along = linalg.matmul(ones, { rows: u, columns: u, data: r });
    const expected = linalg.matmul({ rows: 1, columns: u, data: along }, asRows(g));
    this.#compare(seq, expected, (await this.#state.inverseTimes({ length: keys.length, count: 1, data })).data);
  }

  #compare(seq: number, recorded: Float64Array | Float32Array, derived: Float64Array): void {
    const deviation = norm(derived.map((x, i) => x - recorded[i])) / (norm(derived) || 1);
    if (!(deviation <= guardOf(this.#state).logTolerance))
      throw new RlsError(
        'LOG_MISMATCH',
        `recorded G of seq ${seq} differs by ${deviation.toExponential(1)} from the one its keys give`,
      );
    this.#deviation = Math.max(this.#deviation, deviation);
  }
}
