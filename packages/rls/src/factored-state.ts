import type { LinearAlgebra } from '@errata/tensor';
import { type DenseBase, foldedBase, initialBase, rederivedBase } from './base.js';
import { addInto, asRows, checkColumns, GrowingColumns, gather, inner, norm, toDouble } from './columns.js';
import { RlsError } from './errors.js';
import type { InverseCovariance } from './inverse.js';
import type { ColumnPosition, Columns, Columns64, Segment, Update } from './notation.js';
import { type DerivedSegment, matchTaken, type Survivor, survivors } from './survivors.js';
import { completeUpdate, rightFactor } from './update.js';

/**
 * Least λ_min(T) at which columns are taken out by a downdate. Factors are recorded in fp32 (2⁻²⁴), and the downdate
 * magnifies their rounding along the key by at most 1/λ_min(T): at 1e-5 by no more than 0.6 % of the edit. Below it the
 * columns must be taken out by replaying what came after them.
 */
export const REVOKE_LIMIT = 1e-5;
/** A drop of tr C by this factor costs as many digits of C₀ − G Σ Gᵀ; then C is made anew from the keys. */
const TRACE_DROP = 1e4;
/** The same for one column: R² is the factor by which C shrinks along a key. */
const STEP_DROP = 1e6;
/** Largest relative difference between recorded and derived G. fp32 storage causes 1e-7; another covariance or λ, 1. */
const LOG_TOLERANCE = 1e-3;

/**
 * State of one layer: W = W₀ + B Gᵀ and C = C₀ − G Σ Gᵀ, with old columns folded into dense matrices once that is
 * cheaper. Everything is computed in fp64; G and R are derived from the recorded keys, so that a state rebuilt from the
 * log is bit for bit the one that was lost, and fp32 storage does not add up in C.
 */
export class FactoredState {
  readonly inputs: number;
  readonly outputs: number;
  readonly inverse: InverseCovariance;
  readonly #linalg: LinearAlgebra;
  readonly #foldAt: number;
  readonly #segments: DerivedSegment[] = [];
  #base: DenseBase;
  #tailG: GrowingColumns;
  #tailB: GrowingColumns;
  #tailSigns: number[] = [];
  #trace: number;
  #deviation = 0;

  /** @param inverse shared, not owned: `dispose` leaves it alone */
  constructor(linalg: LinearAlgebra, inverse: InverseCovariance, outputs: number) {
    this.#linalg = linalg;
    this.inverse = inverse;
    this.inputs = inverse.dimension;
    this.outputs = outputs;
    // At half of d the factored products cost what the dense one does.
    this.#foldAt = Math.max(32, Math.floor(inverse.dimension / 2));
    this.#base = initialBase(inverse);
    this.#trace = inverse.trace;
    this.#tailG = new GrowingColumns(this.inputs);
    this.#tailB = new GrowingColumns(outputs);
  }

  get segments(): readonly DerivedSegment[] {
    return this.#segments;
  }

  /** Columns of B and G: the rank of the adapter B Gᵀ as recorded. */
  get rank(): number {
    return this.#segments.reduce((sum, s) => sum + s.g.count, 0);
  }

  /** Largest relative difference met between a recorded G and the derived one. */
  get deviation(): number {
    return this.#deviation;
  }

  /** log det C₀ − log det C = Σ 2 log R_ii: det A grows by det S, or shrinks by det T. */
  get information(): number {
    let sum = 0;
    for (const segment of this.#segments) for (const r of segment.rDiagonal) sum += 2 * Math.log(r);
    return sum;
  }

  get bytes(): number {
    const ofSegment = (s: DerivedSegment) =>
      s.g.count * (8 * (2 * this.inputs + 2 * this.outputs)) + (s.recordedG?.data.byteLength ?? 0);
    return (
      this.#base.bytes +
      this.#tailG.bytes +
      this.#tailB.bytes +
      this.#segments.reduce((sum, s) => sum + ofSegment(s), 0)
    );
  }

  /** Columns in the weights: their keys (d × s) and V − W₀K (dₒ × s), in the order they were put in. */
  survivors(): { keys: Columns64; baseResidual: Columns64; positions: ColumnPosition[] } {
    const list = survivors(this.#segments);
    return {
      keys: gather(
        this.inputs,
        list.map((s) => ({ from: s.from.keys, column: s.column })),
      ),
      baseResidual: gather(
        this.outputs,
        list.map((s) => ({ from: s.from.baseResidual as Columns64, column: s.column })),
      ),
      positions: list.map((s) => ({ seq: s.from.seq, column: s.column })),
    };
  }

  /** C X for d × n columns X. */
  inverseTimes(x: Columns64): Columns64 {
    const data = this.#linalg.matmul(asRows(x), this.#base.c);
    const g = this.#tailG.view();
    if (g.count > 0) {
      const along = this.#linalg.matmul(asRows(x), asRows(g), { transposeB: true });
      for (let i = 0; i < along.length; i++) along[i] *= -this.#tailSigns[i % g.count];
      addInto(data, this.#linalg.matmul({ rows: x.count, columns: g.count, data: along }, asRows(g)));
    }
    return { length: this.inputs, count: x.count, data };
  }

  /** (W − W₀) X for d × n columns X. */
  deltaTimes(x: Columns64): Columns64 {
    const { delta } = this.#base;
    const data =
      delta === null
        ? new Float64Array(x.count * this.outputs)
        : this.#linalg.matmul(asRows(x), delta, { transposeB: true });
    const g = this.#tailG.view();
    if (g.count > 0) {
      const along = this.#linalg.matmul(asRows(x), asRows(g), { transposeB: true });
      const rows = { rows: x.count, columns: g.count, data: along };
      addInto(data, this.#linalg.matmul(rows, asRows(this.#tailB.view())));
    }
    return { length: this.outputs, count: x.count, data };
  }

  /** W − W₀, dₒ × d row-major. */
  delta(): Float64Array {
    const { delta } = this.#base;
    const dense = delta === null ? new Float64Array(this.outputs * this.inputs) : delta.read().slice();
    const g = this.#tailG.view();
    if (g.count > 0) addInto(dense, this.#linalg.matmul(asRows(this.#tailB.view()), asRows(g), { transposeA: true }));
    return dense;
  }

  /** C, d × d. */
  inverseCovariance(): Float64Array {
    const { c } = this.#base;
    const dense = ('data' in c ? c.data : c.read()).slice();
    const g = this.#tailG.view();
    if (g.count === 0) return dense;
    const signed = g.data.map((x, i) => -x * this.#tailSigns[Math.floor(i / this.inputs)]);
    const rows = { rows: g.count, columns: this.inputs, data: signed };
    return addInto(dense, this.#linalg.matmul(rows, asRows(g), { transposeA: true }));
  }

  /**
   * Factors that put a batch of columns in; the state stays as it is.
   * @param keys d × u  @param residual V − W K, dₒ × u
   * @throws RlsError INVALID_TENSOR; ILL_CONDITIONED when S is not numerically positive definite
   */
  apply(keys: Columns, residual: Columns): Update {
    checkColumns('keys', keys, this.inputs, keys.count);
    checkColumns('residual', residual, this.outputs, keys.count);
    if (keys.count === 0) throw new RlsError('INVALID_TENSOR', 'keys: a batch has at least one column');
    const k = toDouble(keys);
    return completeUpdate(
      this.#linalg,
      k,
      toDouble(residual),
      rightFactor(this.#linalg, k, this.inverseTimes(k), 1),
      1,
    );
  }

  /**
   * Factors that take columns back out, exact on the recorded objective; the state stays as it is.
   * @throws RlsError UNKNOWN_COLUMN; REVOKE_ILL_CONDITIONED when λ_min(T) is below {@link REVOKE_LIMIT}
   */
  revoke(positions: readonly ColumnPosition[]): Update {
    const taken = positions.map((position) => this.#find(position));
    if (new Set(positions.map((p) => `${p.seq}/${p.column}`)).size !== positions.length || positions.length === 0)
      throw new RlsError('UNKNOWN_COLUMN', 'a revocation names at least one column, and each once');
    const keys = gather(
      this.inputs,
      taken.map((s) => ({ from: s.from.keys, column: s.column })),
    );
    const recorded = gather(
      this.outputs,
      taken.map((s) => ({ from: s.from.baseResidual as Columns64, column: s.column })),
    );
    const residual: Columns64 = { ...recorded, data: addInto(recorded.data, this.deltaTimes(keys).data, -1) };
    const refused = (why: string) =>
      new RlsError(
        'REVOKE_ILL_CONDITIONED',
        `λ_min(I − KᵀCK) of the ${positions.length} columns ${why}; roll back to before seq ${Math.min(...positions.map((p) => p.seq))} and apply the rest again`,
      );
    let update: Update;
    try {
      const factor = rightFactor(this.#linalg, keys, this.inverseTimes(keys), -1);
      update = completeUpdate(this.#linalg, keys, residual, factor, -1);
    } catch (error) {
      if (error instanceof RlsError && error.code === 'ILL_CONDITIONED') throw refused('is not positive');
      throw error;
    }
    if (update.stats.lambdaMin < REVOKE_LIMIT)
      throw refused(`is ${update.stats.lambdaMin.toExponential(1)}, below ${REVOKE_LIMIT.toExponential(0)}`);
    return update;
  }

  /**
   * Adds a recorded batch.
   * @throws RlsError INVALID_TENSOR; LOG_MISMATCH when the record does not follow from this state
   */
  append(segment: Segment): void {
    const count = segment.keys.count;
    checkColumns(`keys of seq ${segment.seq}`, segment.keys, this.inputs, count);
    checkColumns(`B of seq ${segment.seq}`, segment.b, this.outputs, count);
    const keys = toDouble(segment.keys);
    const b = toDouble(segment.b);
    const { g, r } = this.#derive(segment, keys);
    const data = this.#linalg.matmul({ rows: count, columns: count, data: r }, asRows(b));
    const residual: Columns64 = { ...b, data: segment.sign > 0 ? data : data.map((x) => -x) };
    const delta = this.deltaTimes(keys);
    const takes =
      segment.sign > 0
        ? []
        : matchTaken(this.#segments, keys, residual, (s) => this.#residualOf(s)).map((s) => ({
            segment: s.from,
            column: s.column,
          }));
    for (const { segment: from, column } of takes) from.active[column] = false;
    this.#push({
      seq: segment.seq,
      sign: segment.sign,
      keys,
      g,
      b,
      recordedG: segment.g ?? null,
      rDiagonal: Array.from({ length: count }, (_, i) => r[i * count + i]),
      baseResidual: segment.sign > 0 ? { ...residual, data: addInto(residual.data.slice(), delta.data) } : null,
      active: segment.sign > 0 ? new Array<boolean>(count).fill(true) : [],
      takes,
    });
  }

  /** Drops all batches after the first `count`: rollback. */
  truncate(count: number): void {
    while (this.#segments.length > count) {
      const dropped = this.#segments.pop() as DerivedSegment;
      for (const { segment, column } of dropped.takes) segment.active[column] = true;
    }
    const kept = this.#segments.splice(0);
    // A fold depends on which columns survived when it happened, so the kept batches are gone through again.
    for (const segment of kept) for (const { segment: from, column } of segment.takes) from.active[column] = true;
    this.#reset();
    for (const segment of kept) {
      for (const { segment: from, column } of segment.takes) from.active[column] = false;
      this.#push(segment);
    }
  }

  dispose(): void {
    this.#segments.length = 0;
    this.#reset();
  }

  #derive(segment: Segment, keys: Columns64): { g: Columns64; r: Float64Array } {
    try {
      const factor = rightFactor(this.#linalg, keys, this.inverseTimes(keys), segment.sign);
      if (segment.g !== undefined) {
        checkColumns(`G of seq ${segment.seq}`, segment.g, this.inputs, keys.count);
        const recorded = toDouble(segment.g).data;
        const deviation = norm(factor.g.data.map((x, i) => x - recorded[i])) / (norm(factor.g.data) || 1);
        if (!(deviation <= LOG_TOLERANCE))
          throw new RlsError(
            'LOG_MISMATCH',
            `recorded G of seq ${segment.seq} differs by ${deviation.toExponential(1)} from the one its keys give`,
          );
        this.#deviation = Math.max(this.#deviation, deviation);
      }
      return factor;
    } catch (error) {
      if (error instanceof RlsError && error.code === 'ILL_CONDITIONED' && segment.sign < 0)
        throw new RlsError('LOG_MISMATCH', `seq ${segment.seq} takes out keys that are not in: ${error.message}`);
      throw error;
    }
  }

  #find(position: ColumnPosition): Survivor {
    const from = this.#segments.find((s) => s.seq === position.seq && s.sign > 0);
    if (from?.active[position.column] !== true)
      throw new RlsError('UNKNOWN_COLUMN', `column ${position.column} of seq ${position.seq} is not in the weights`);
    return { from, column: position.column };
  }

  #residualOf({ from, column }: Survivor): Float64Array {
    const key = gather(this.inputs, [{ from: from.keys, column }]);
    const value = gather(this.outputs, [{ from: from.baseResidual as Columns64, column }]);
    return addInto(value.data, this.deltaTimes(key).data, -1);
  }

  #reset(): void {
    this.#base.dispose();
    this.#base = initialBase(this.inverse);
    this.#trace = this.inverse.trace;
    this.#clearTail();
  }

  #clearTail(): void {
    this.#tailG.truncate(0);
    this.#tailB.truncate(0);
    this.#tailSigns = [];
  }

  #push(segment: DerivedSegment): void {
    this.#segments.push(segment);
    this.#tailG.append(segment.g);
    this.#tailB.append(segment.b);
    for (let i = 0; i < segment.g.count; i++) this.#tailSigns.push(segment.sign);
    this.#trace -= segment.sign * inner(segment.g.data, segment.g.data);
    const step = Math.max(...segment.rDiagonal.map((r) => Math.max(r * r, 1 / (r * r))));
    if (!(this.#trace * TRACE_DROP > this.#base.trace) || step > STEP_DROP) this.#rebase(true);
    else if (this.#tailSigns.length >= this.#foldAt) this.#rebase(false);
  }

  #rebase(rederive: boolean): void {
    const delta = this.delta();
    const count = this.#segments.length;
    const next = rederive
      ? rederivedBase(this.#linalg, this.inverse, count, this.survivors().keys, delta)
      : foldedBase(this.#linalg, this.inverse, count, this.inverseCovariance(), delta);
    this.#base.dispose();
    this.#base = next;
    this.#trace = next.trace;
    this.#clearTail();
  }
}
