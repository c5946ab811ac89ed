import type { DenseMatrix, Panel, SymmetricInverse, SymmetricMatrix } from '@errata/tensor';
import { RlsError } from './errors.js';
import type { InverseCovariance } from './inverse.js';
import type { Columns64 } from './notation.js';
import type { RlsParts } from './parts.js';
import type { StateSnapshot } from './state-snapshot.js';
import type { Tail } from './tail.js';

/** Columns of Δ put back at once: bounds the copies. */
const BLOCK = 256;

/** The dense part of a state: all segments before `segments` folded in. */
export class DenseBase {
  segments = 0;
  /** tr C, of all shares. */
  trace: number;
  /** How far C, as stored, was from what it was derived from last; 0 where it never was. */
  storedDeviation = 0;
  #c: SymmetricMatrix | null = null;
  #delta: DenseMatrix | null = null;

  constructor(
    private readonly parts: RlsParts,
    private readonly inverse: InverseCovariance,
    private readonly rows: number,
  ) {
    this.trace = inverse.trace;
  }

  /** C₀ itself, shared with other streams, until the first fold copies it. */
  get c(): SymmetricMatrix {
    return this.#c ?? this.inverse.c0;
  }

  get bytes(): number {
    return (this.#c?.bytes ?? 0) + (this.#delta?.bytes ?? 0);
  }

  /** Δ X, the rows held. */
  async changeTimes(x: Columns64): Promise<Columns64> {
    if (this.#delta !== null) return this.#delta.times(x);
    return { length: this.rows, count: x.count, data: new Float64Array(this.rows * x.count) };
  }

  /** Δᵀ Y */
  async changeTransposeTimes(y: Columns64): Promise<Columns64> {
    if (this.#delta !== null) return this.#delta.transposeTimes(y);
    const length = this.inverse.dimension;
    return { length, count: y.count, data: new Float64Array(length * y.count) };
  }

  /** Rows of Δ, row-major. */
  async changeRows(first: number, count: number): Promise<Float64Array> {
    if (this.#delta !== null) return this.#delta.readRows(first, count);
    return new Float64Array(count * this.inverse.dimension);
  }

  /** C ← C − G Σ Gᵀ, Δ ← Δ + B Gᵀ, in place but for the copy of C₀ at the first fold. */
  async fold(tail: Tail, trace: number): Promise<void> {
    if (tail.count === 0) return;
    this.#c ??= await this.inverse.c0.copy();
    await this.#foldChange(tail);
    await this.#c.rankUpdate(
      tail.g,
      tail.signs.map((sign) => -sign),
    );
    this.trace = trace;
  }

  /** C ← one made anew from the keys; Δ as in a fold. */
  async replace(tail: Tail, inverse: SymmetricInverse): Promise<void> {
    if (tail.count > 0) await this.#foldChange(tail);
    this.#c?.dispose();
    this.#c = null;
    const { precision, share, dimension } = this.inverse;
    const fill = (firstRow: number) => inverse.panel(firstRow / inverse.panelRows);
    this.#c = await this.parts.engine.symmetric({ dimension, precision, share, fill });
    this.trace = inverse.trace;
  }

  /** As it was at a fold; empty again where that fails. @throws RlsError LOG_MISMATCH when a panel is missing; TensorError */
  async restore({ panels, change, segments, trace, storedDeviation }: StateSnapshot): Promise<void> {
    this.reset();
    try {
      this.#c = await this.#inverseOf(panels);
      this.#delta = await this.#changeOf(change);
    } catch (error) {
      this.reset();
      throw error;
    }
    this.segments = segments;
    this.trace = trace;
    this.storedDeviation = storedDeviation;
  }

  reset(): void {
    this.#c?.dispose();
    this.#delta?.dispose();
    this.#c = null;
    this.#delta = null;
    this.segments = 0;
    this.storedDeviation = 0;
    this.trace = this.inverse.trace;
  }

  async #foldChange(tail: Tail): Promise<void> {
    this.#delta ??= await this.parts.engine.zeros(this.rows, this.inverse.dimension, this.inverse.precision);
    await this.#delta.addOuter(tail.b, tail.g);
  }

  #inverseOf(panels: readonly Panel[]): Promise<SymmetricMatrix> {
    const { precision, share, dimension } = this.inverse;
    const fill = (firstRow: number): Panel => {
      const panel = panels.find((one) => one.firstRow === firstRow);
      if (panel === undefined) throw new RlsError('LOG_MISMATCH', `the panel of C at row ${firstRow} is missing`);
      return panel;
    };
    return this.parts.engine.symmetric({ dimension, precision, share, fill });
  }

  /** Δ from its rows: times the identity, column block by column block, which is exact. */
  async #changeOf(rows: Float64Array): Promise<DenseMatrix> {
    const { dimension, precision } = this.inverse;
    const delta = await this.parts.engine.zeros(this.rows, dimension, precision);
    try {
      for (let from = 0; from < dimension; from += BLOCK) {
        const count = Math.min(BLOCK, dimension - from);
        const columns = new Float64Array(this.rows * count);
        const units = new Float64Array(dimension * count);
        for (let j = 0; j < count; j++) {
          units[j * dimension + from + j] = 1;
          for (let i = 0; i < this.rows; i++) columns[j * this.rows + i] = rows[i * dimension + from + j];
        }
        const b = { length: this.rows, count, data: columns };
        await delta.addOuter(b, { length: dimension, count, data: units });
      }
      return delta;
    } catch (error) {
      delta.dispose();
      throw error;
    }
  }
}
