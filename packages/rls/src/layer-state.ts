import type { Panel, Precision, SymmetricInverse } from '@errata/tensor';
import { DenseBase } from './base.js';
import { addInto, asRows, inner, norm, stacked, toDouble } from './columns.js';
import { Derivation } from './derivation.js';
import { RlsError } from './errors.js';
import { allAnchorPanels, allInformationTimes, informationTimes, inverseOfInformation } from './information.js';
import type { InverseCovariance } from './inverse.js';
import type { ColumnPosition, Columns, Columns64, RowRange, Segment, Update } from './notation.js';
import { relativeDifference } from './panel-products.js';
import type { RlsParts } from './parts.js';
import { factorOut, leftFactorOut } from './revocation.js';
import { Shapes } from './shapes.js';
import { derivedFrom, historyOf } from './snapshot-history.js';
import type { StartingDelta } from './starting-delta.js';
import {
  type ApplyOptions,
  checkDistinct,
  checkRange,
  guardOf,
  type RefreshOptions,
  type RevokeOptions,
  type StateOptions,
  type SupersedeOptions,
} from './state-options.js';
import type { StateSnapshot } from './state-snapshot.js';
import {
  baseResidualsOf,
  bytesOf,
  type DerivedSegment,
  findColumn,
  informationOf,
  keysOf,
  matchTaken,
  type Survivor,
  survivors,
} from './survivors.js';
import { outerRows, Tail } from './tail.js';
import { completeUpdate, leastEigenvalue, rightFactor } from './update.js';

/** Batches between two looks at the deviation of C. */
const CHECK_EVERY = 64;
/** How much more than rounding alone C has to be off: one probe and the next differ by a factor of two. */
const ABOVE_ROUNDING = 4;

/**
 * State of one layer, or of a row range of it: W = W₀ + B Gᵀ and C = C₀ − G Σ Gᵀ, old columns folded into dense matrices.
 *
 * A state that holds all of C in fp64 derives G and R from the recorded keys: rebuilt from the log with the same fold
 * rank on the same engine it is bit for bit the lost one, and the fp32 of the log does not add up in C. The others take
 * the recorded G. One call at a time. One that is aborted, or finds no memory to invert in, leaves the state as it was;
 * after an `append`, `fold` or `refresh` that failed while it wrote only `truncate` and `dispose` work.
 */
export class LayerState {
  readonly inputs: number;
  readonly outputs: number;
  readonly rows: RowRange;
  readonly inverse: InverseCovariance;
  #foldRank: number;
  readonly #parts: RlsParts;
  readonly #options: StateOptions;
  readonly #shapes: Shapes;
  readonly #start: StartingDelta | null;
  readonly #segments: DerivedSegment[] = [];
  readonly #base: DenseBase;
  readonly #tail: Tail;
  #trace: number;
  readonly #derivation: Derivation;
  #revision = 0;
  #failure: Error | null = null;
  /** Whether folds lie where the batches and the fold rank alone put them. */
  #regular = true;

  /** Use `createState`, which chooses the fold rank. @param inverse shared, not owned: `dispose` leaves it alone */
  constructor(parts: RlsParts, inverse: InverseCovariance, options: StateOptions & { readonly foldRank: number }) {
    this.#parts = parts;
    this.#options = options;
    this.inverse = inverse;
    this.inputs = inverse.dimension;
    this.outputs = options.outputs;
    this.rows = checkRange(options.rows ?? { start: 0, end: options.outputs }, options.outputs);
    this.#foldRank = options.foldRank;
    this.#shapes = new Shapes(this.inputs, this.outputs, this.rows);
    this.#start = options.anchor === undefined ? null : this.#shapes.startOf(options.anchor);
    this.#base = new DenseBase(parts, inverse, this.heldRows);
    this.#tail = new Tail(parts.linalg, this.inputs, this.heldRows);
    this.#derivation = new Derivation(parts, this);
    this.#trace = inverse.trace;
  }

  get precision(): Precision {
    return this.inverse.precision;
  }

  /** Columns of the tail at which it is folded. */
  get foldRank(): number {
    return this.#foldRank;
  }

  /** Number of output rows held. */
  get heldRows(): number {
    return this.rows.end - this.rows.start;
  }

  /** Whether all of C is held. */
  get whole(): boolean {
    return this.inverse.share.count === 1;
  }

  get segments(): readonly DerivedSegment[] {
    return this.#segments;
  }

  /** Columns of B and G as recorded. */
  get rank(): number {
    return this.#segments.reduce((sum, s) => sum + s.g.count, 0);
  }

  /** Largest relative difference met between the log and what follows from its keys. */
  get deviation(): number {
    return this.#derivation.deviation;
  }

  /** log det C₀ − log det C = Σ 2 log R_ii: det A grows by det S, or shrinks by det T. */
  get information(): number {
    return this.#segments.reduce((sum, s) => sum + informationOf(s), 0);
  }

  /** tr C, of all shares: tr C₀ − Σ ±‖G‖², exact again after every `refresh`. */
  get trace(): number {
    return this.#trace;
  }

  get bytes(): number {
    const start = this.#start === null ? 0 : this.#start.b.data.byteLength + this.#start.g.data.byteLength;
    return this.#base.bytes + this.#tail.bytes + start + this.#segments.reduce((sum, s) => sum + bytesOf(s), 0);
  }

  /** Where W started, if not at W₀; the rows held. */
  get start(): StartingDelta | null {
    return this.#start;
  }

  /** Columns in the weights, in the order they were put in. */
  columns(): readonly Survivor[] {
    return survivors(this.#segments);
  }

  /** Columns in the weights: their keys (d × s) and V − W₀K (the rows held), in the order they were put in. */
  survivors(): { keys: Columns64; baseResidual: Columns64; positions: ColumnPosition[] } {
    const list = this.columns();
    return {
      keys: keysOf(list, this.inputs),
      baseResidual: baseResidualsOf(list, this.heldRows),
      positions: list.map((s) => ({ seq: s.from.seq, column: s.column })),
    };
  }

  /** Recorded keys of columns in the weights. @throws RlsError UNKNOWN_COLUMN */
  keysOf(positions: readonly ColumnPosition[]): Columns64 {
    return keysOf(
      positions.map((position) => findColumn(this.#segments, position)),
      this.inputs,
    );
  }

  /** V − W K of columns in the weights, the rows held. @throws RlsError UNKNOWN_COLUMN */
  async residualOf(positions: readonly ColumnPosition[]): Promise<Columns64> {
    return this.#residualOf(positions.map((position) => findColumn(this.#segments, position)));
  }

  /** This share's part of C X; the parts of all shares add up, whenever each of them folded. */
  async inverseTimes(x: Columns): Promise<Columns64> {
    this.#usable();
    this.#shapes.checkVectors(x);
    const wide = toDouble(x);
    const product = await this.#base.c.times(wide);
    const { c } = this.#base;
    if (this.whole) this.#tail.subtractInverse(wide, product.data);
    else this.#tail.subtractShare(wide, product.data, c.share, c.panelRows);
    return product;
  }

  /** (W − W₀) X, the rows held. */
  async deltaTimes(x: Columns): Promise<Columns64> {
    const product = await this.changeTimes(x);
    const start = this.#start;
    if (start !== null) {
      const { linalg } = this.#parts;
      const along = linalg.matmul(asRows(toDouble(x)), asRows(start.g), { transposeB: true });
      addInto(product.data, linalg.matmul({ rows: x.count, columns: start.g.count, data: along }, asRows(start.b)));
    }
    return product;
  }

  /** As `deltaTimes`, from where W started. */
  async changeTimes(x: Columns): Promise<Columns64> {
    this.#usable();
    this.#shapes.checkVectors(x);
    const wide = toDouble(x);
    const product = await this.#base.changeTimes(wide);
    this.#tail.addChange(wide, product.data);
    return product;
  }

  /** (W − its start)ᵀ Y for Y of the rows held. */
  async changeTransposeTimes(y: Columns64): Promise<Columns64> {
    this.#usable();
    this.#shapes.checkRowVectors(y);
    const product = await this.#base.changeTransposeTimes(y);
    this.#tail.addChangeTransposed(y, product.data);
    return product;
  }

  /** Rows of W − W₀, row-major × d. @param first absolute, within the rows held */
  async deltaRows(first: number, count: number): Promise<Float64Array> {
    const rows = await this.changeRows(first, count);
    const start = this.#start;
    if (start !== null) addInto(rows, outerRows(this.#parts.linalg, start, first - this.rows.start, count));
    return rows;
  }

  /** As `deltaRows`, from where W started. */
  async changeRows(first: number, count: number): Promise<Float64Array> {
    this.#usable();
    if (!(first >= this.rows.start && count >= 0 && first + count <= this.rows.end))
      throw new RlsError(
        'INVALID_TENSOR',
        `rows ${first} to ${first + count}; held are ${this.rows.start} to ${this.rows.end}`,
      );
    const rows = await this.#base.changeRows(first - this.rows.start, count);
    if (this.#tail.count > 0) addInto(rows, outerRows(this.#parts.linalg, this.#tail, first - this.rows.start, count));
    return rows;
  }

  /** The held panels of C in fp64, in ascending order. */
  async *inversePanels(): AsyncGenerator<Panel> {
    this.#usable();
    for await (const panel of this.#base.c.panels()) {
      const data = new Float64Array(panel.data);
      this.#tail.subtractPanel(panel, data);
      yield { ...panel, data };
    }
  }

  /** B (the rows held) and G with W − W₀ = B Gᵀ as recorded, which is what the model runs with; where W started first. */
  factors(): { b: Columns64; g: Columns64 } {
    const all = (pick: 'b' | 'g', length: number) =>
      stacked(length, [...(this.#start === null ? [] : [this.#start[pick]]), ...this.#segments.map((s) => s[pick])]);
    return { b: all('b', this.heldRows), g: all('g', this.inputs) };
  }

  /**
   * Factors that put a batch of columns in; the state stays as it is.
   * @param keys d × u  @param residual V − W K, all outputs or the rows held × u
   * @throws RlsError INVALID_TENSOR; ILL_CONDITIONED when S is not numerically positive definite or a weight too large
   */
  async apply(keys: Columns, residual: Columns, options: ApplyOptions = {}): Promise<Update> {
    this.#usable();
    const batch = this.#shapes.weigh(keys, residual, options.weights);
    const product =
      options.product === undefined
        ? await this.#wholeProduct(batch.keys)
        : this.#shapes.scaledProduct(options.product, keys.count, batch.roots);
    const factor = rightFactor(this.#parts.linalg, batch.keys, product, 1);
    if (options.product === undefined)
      this.#derivation.remember({ revision: this.#revision, keys: batch.keys, factor, sign: 1 });
    return completeUpdate(this.#parts.linalg, batch.keys, batch.residual, factor, 1);
  }

  /**
   * Factors that take columns back out, exact on the recorded objective; the state stays as it is. Where λ_min(T) is
   * small they are computed from C without the columns, derived from the keys: d³ operations, no cancellation.
   * @throws RlsError UNKNOWN_COLUMN; REVOKE_ILL_CONDITIONED where what is left cannot be inverted, or only a share of C
   * is held and its source is not known
   */
  async revoke(positions: readonly ColumnPosition[], options: RevokeOptions = {}): Promise<Update> {
    this.#usable();
    checkDistinct(positions);
    const taken = positions.map((position) => findColumn(this.#segments, position));
    const { linalg } = this.#parts;
    const keys = keysOf(taken, this.inputs);
    const product = options.product ?? (await this.#wholeProduct(keys));
    this.#shapes.checkInputs('product', product, keys.count);
    const { factor, without } = await factorOut(this.#parts, this, keys, product, options);
    if (options.product === undefined) this.#derivation.remember({ revision: this.#revision, keys, factor, sign: -1 });
    const b =
      without === null || options.residual !== undefined
        ? undefined
        : leftFactorOut(this.#parts, this, taken, factor.r, without);
    const residual = options.residual ?? (await this.#residualOf(taken));
    this.#shapes.checkResidual(residual, keys.count);
    return completeUpdate(linalg, keys, residual, factor, -1, b, without !== null);
  }

  /**
   * Takes columns out and puts others in: two updates to be appended in this order; the state stays as it is.
   * @param residual of the new columns against the present weights
   * @throws RlsError as `revoke` and `apply` do
   */
  async supersede(
    positions: readonly ColumnPosition[],
    keys: Columns,
    residual: Columns,
    options: SupersedeOptions = {},
  ): Promise<readonly [Update, Update]> {
    const { linalg } = this.#parts;
    this.#usable();
    const batch = this.#shapes.weigh(keys, residual, options.weights);
    const applied =
      options.products === undefined
        ? await this.#wholeProduct(batch.keys)
        : this.#shapes.scaledProduct(options.products.applied, keys.count, batch.roots);
    const { products, weights: _, ...rest } = options;
    const out = await this.revoke(positions, products === undefined ? rest : { ...rest, product: products.revoked });
    if (out.b.length !== batch.residual.length)
      throw new RlsError(
        'INVALID_TENSOR',
        `residuals of ${out.b.length} rows taken out and ${batch.residual.length} put in: give both of the same rows`,
      );
    const along = linalg.matmul(asRows(batch.keys), asRows(out.g), { transposeB: true });
    const rows = { rows: keys.count, columns: out.g.count, data: along };
    const product = { ...applied, data: addInto(applied.data.slice(), linalg.matmul(rows, asRows(out.g))) };
    const left = {
      ...batch.residual,
      data: addInto(batch.residual.data.slice(), linalg.matmul(rows, asRows(out.b)), -1),
    };
    return [out, completeUpdate(linalg, batch.keys, left, rightFactor(linalg, batch.keys, product, 1), 1)];
  }

  /**
   * Adds a recorded batch.
   * @param options of an inversion, where C has to be derived again
   * @throws RlsError INVALID_TENSOR; LOG_MISMATCH when the record does not follow from this state; as `refresh` does
   */
  async append(segment: Segment, options: RefreshOptions = {}): Promise<void> {
    const { seq, sign } = segment;
    const { linalg } = this.#parts;
    const { count } = segment.b;
    this.#usable();
    if (segment.keys !== undefined) this.#shapes.checkInputs(`keys of seq ${seq}`, segment.keys, count);
    const b = this.#shapes.ownRows(`B of seq ${seq}`, segment.b, count);
    if (segment.g !== undefined) this.#shapes.checkInputs(`G of seq ${seq}`, segment.g, count);
    const { keys: recorded, g, r } = await this.#derivation.factorOf(segment, this.#revision, options);
    const keys = toDouble(recorded);
    const signed = linalg.matmul({ rows: count, columns: count, data: r }, asRows(toDouble(b)));
    const data = sign > 0 ? signed : signed.map((x) => -x);
    const residual: Columns64 = { length: this.heldRows, count, data };
    const takes =
      sign > 0
        ? []
        : await matchTaken(this.#segments, recorded, residual, async (s) => (await this.#residualOf([s])).data);
    const baseResidual =
      sign > 0 ? { ...residual, data: addInto(data.slice(), (await this.changeTimes(keys)).data) } : null;
    await this.#push(
      {
        seq,
        sign,
        keys: recorded,
        imported: segment.keys === undefined,
        b,
        g: segment.g ?? g,
        rDiagonal: Array.from({ length: count }, (_, i) => r[i * count + i]),
        lambdaMin: leastEigenvalue(linalg, r, count),
        baseResidual,
        active: sign > 0 ? new Array<boolean>(count).fill(true) : [],
        takes,
      },
      g,
      options,
    );
  }

  /** Drops all batches after the first `count`: rollback. Beyond the last fold the kept ones are gone through again. */
  async truncate(count: number, options: RefreshOptions = {}): Promise<void> {
    if (count >= this.#segments.length && this.#failure === null) return;
    this.#revision++;
    while (this.#segments.length > count) this.#mark(this.#segments.pop() as DerivedSegment, true);
    if (this.#base.segments > this.#segments.length || this.#failure !== null) return this.#replay(options);
    const unfolded = this.#segments.slice(this.#base.segments);
    this.#tail.truncate(unfolded.reduce((sum, s) => sum + s.g.count, 0));
    this.#trace = this.#tail.traceFrom(this.#base.trace, unfolded);
  }

  /** Folds the tail into the dense matrices, whatever its length. */
  async fold(): Promise<void> {
    this.#regular = false;
    await this.#changing(() => this.#fold());
  }

  /**
   * The state after its last fold; null where there was none, or one was asked for: elsewhere than a replay has it.
   * It shares no memory with the state.
   */
  async snapshot(): Promise<StateSnapshot | null> {
    this.#usable();
    const { segments, trace, storedDeviation } = this.#base;
    if (segments === 0 || !this.#regular) return null;
    const panels: Panel[] = [];
    for await (const panel of this.#base.c.panels()) panels.push({ ...panel, data: panel.data.slice() });
    const change = await this.#base.changeRows(0, this.heldRows);
    const { foldRank, deviation } = this;
    const dense = { segments, foldRank, trace, storedDeviation, deviation, panels, change };
    return { ...dense, ...historyOf(this.#segments.slice(0, segments), this.inputs, this.heldRows) };
  }

  /**
   * Brings a state without batches to where a snapshot of it was taken.
   * @param batches those of the snapshot, as the log has them
   * @throws RlsError LOG_MISMATCH when they do not fit together, TensorError; the state is then without batches
   */
  async restore(snapshot: StateSnapshot, batches: readonly Segment[]): Promise<void> {
    if (this.#segments.length > 0) throw new RlsError('LOG_MISMATCH', 'only a state without batches can be restored');
    const segments = derivedFrom(snapshot, batches, this.inputs, this.heldRows, (segment) =>
      this.#shapes.ownRows(`B of seq ${segment.seq}`, segment.b, segment.b.count),
    );
    await this.#base.restore(snapshot);
    for (const segment of segments) {
      this.#mark(segment, false);
      this.#segments.push(segment);
    }
    this.#derivation.met(snapshot.deviation);
    this.#foldRank = snapshot.foldRank;
    this.#trace = this.#base.trace;
    this.#regular = true;
  }

  /**
   * C again from A₀ + Σ K Kᵀ in fp64.
   * @returns by how much the one before differed, relative (Frobenius); of the panels held
   * @throws RlsError INVALID_TENSOR for a share whose source is not known; TensorError OUT_OF_MEMORY; the signal's reason
   */
  async refresh(options: RefreshOptions = {}): Promise<{ deviation: number }> {
    this.#usable();
    const inverse = await this.freshInverse(options);
    try {
      const deviation = await relativeDifference(this.inversePanels(), inverse);
      options.signal?.throwIfAborted();
      this.#regular = false;
      await this.#changing(() => this.#rebase(inverse));
      return { deviation };
    } finally {
      await inverse.dispose();
    }
  }

  /** A X in fp64, all of it whatever share of C is held. @throws RlsError INVALID_TENSOR where the source of A₀ is needed */
  informationTimes(x: Columns64): Promise<Columns64> {
    return allInformationTimes(this.#parts, this, this.#options.source, x);
  }

  /**
   * ‖(A C − I) x‖ / ‖x‖ of a fixed probe: how far C is from the inverse of what its keys say. Costs two products with one
   * column and one pass over the keys.
   * @throws RlsError INVALID_TENSOR where only a share of C is held
   */
  async measureDeviation(): Promise<number> {
    const length = this.inputs;
    const data = Float64Array.from({ length }, (_, i) => Math.cos(1 + i * i * 0.7));
    const x: Columns64 = { length, count: 1, data };
    const y = await this.#wholeProduct(x);
    const z = await informationTimes(this.#parts, this.inverse, this.columns(), y);
    return norm(addInto(z.data, data, -1)) / norm(data);
  }

  /**
   * C from A₀ + Σ K Kᵀ in fp64; the state stays as it is.
   * @param without columns to be left out
   * @throws RlsError, TensorError as `refresh` does
   */
  async freshInverse(options: RefreshOptions = {}, without: readonly Survivor[] = []): Promise<SymmetricInverse> {
    const left = this.columns().filter((s) => !without.some((w) => w.from === s.from && w.column === s.column));
    options.signal?.throwIfAborted();
    const anchor = await allAnchorPanels(this.#parts, this.inverse, this.#options.source);
    return inverseOfInformation(this.#parts, this.inputs, anchor, left, options);
  }

  dispose(): void {
    this.#segments.length = 0;
    this.#tail.truncate(0);
    this.#base.reset();
  }

  async #wholeProduct(keys: Columns64): Promise<Columns64> {
    const { index, count } = this.inverse.share;
    if (!this.whole)
      throw new RlsError('INVALID_TENSOR', `share ${index} of ${count} of C: the product summed over all is needed`);
    return this.inverseTimes(keys);
  }

  async #residualOf(list: readonly Survivor[]): Promise<Columns64> {
    const values = baseResidualsOf(list, this.heldRows);
    addInto(values.data, (await this.changeTimes(keysOf(list, this.inputs))).data, -1);
    return values;
  }

  async #replay(options: RefreshOptions): Promise<void> {
    const kept = this.#segments.splice(0);
    for (const segment of kept) this.#mark(segment, true);
    this.#base.reset();
    this.#tail.truncate(0);
    this.#trace = this.inverse.trace;
    this.#failure = null;
    this.#regular = true;
    try {
      for (const segment of kept) {
        const { g } = await this.#derivation.factorOf(segment, this.#revision, options);
        await this.#push(segment, g, options);
      }
    } catch (error) {
      // What was not reached stays known, so that another attempt can go through all of it.
      for (const segment of kept.slice(this.#segments.length)) {
        this.#mark(segment, false);
        this.#segments.push(segment);
      }
      this.#failure = error instanceof Error ? error : new Error(String(error));
      throw error;
    }
  }

  async #push(segment: DerivedSegment, g: Columns64, options: RefreshOptions): Promise<void> {
    this.#usable();
    const { count } = this.#tail;
    const trace = this.#trace;
    this.#mark(segment, false);
    this.#segments.push(segment);
    this.#tail.push(g, toDouble(segment.b), segment.sign);
    this.#trace -= segment.sign * inner(g.data, g.data);
    let fresh: SymmetricInverse | null = null;
    try {
      if (await this.#drifted(segment)) fresh = await this.freshInverse(options);
    } catch (error) {
      // Only the tail has grown: without the batch it is the state from before.
      this.#segments.pop();
      this.#mark(segment, true);
      this.#tail.truncate(count);
      this.#trace = trace;
      throw error;
    }
    try {
      await this.#changing(async () => {
        if (fresh !== null) await this.#rebase(fresh);
        else if (this.#tail.count >= this.foldRank) await this.#fold();
      });
    } finally {
      await fresh?.dispose();
    }
  }

  /** Whether what a batch took out is in the weights. */
  #mark(segment: DerivedSegment, active: boolean): void {
    this.#revision++;
    for (const { from, column } of segment.takes) from.active[column] = active;
  }

  /** Whether C is to be derived again: it fell, or the last batch shrank it, by too much, or it is off. */
  async #drifted(segment: DerivedSegment): Promise<boolean> {
    const { traceDrop, stepDrop, refreshDeviation } = guardOf(this, this.#options.refreshDeviation);
    const step = Math.max(...segment.rDiagonal.map((r) => Math.max(r * r, 1 / (r * r))));
    if (!(this.#trace * traceDrop > this.#base.trace) || step > stepDrop)
      return this.whole || this.#options.source !== undefined;
    if (!this.whole || this.#segments.length % CHECK_EVERY !== 0) return false;
    const limit = Math.max(refreshDeviation, ABOVE_ROUNDING * this.#base.storedDeviation);
    return limit < Number.POSITIVE_INFINITY && (await this.measureDeviation()) > limit;
  }

  async #rebase(inverse: SymmetricInverse): Promise<void> {
    await this.#base.replace(this.#tail, inverse);
    this.#folded();
    if (this.whole) this.#base.storedDeviation = await this.measureDeviation();
  }

  async #fold(): Promise<void> {
    await this.#base.fold(this.#tail, this.#trace);
    this.#folded();
  }

  #folded(): void {
    this.#revision++;
    this.#base.segments = this.#segments.length;
    this.#trace = this.#base.trace;
    this.#tail.truncate(0);
  }

  /** Runs what writes to the dense matrices; a failure half-way leaves them unusable. */
  async #changing(work: () => Promise<void>): Promise<void> {
    this.#usable();
    try {
      await work();
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error));
      throw error;
    }
  }

  #usable(): void {
    if (this.#failure !== null) throw this.#failure;
  }
}
