import type { DenseMatrix, SymmetricInverse, SymmetricMatrix } from '@errata/tensor';
import type { InverseCovariance } from './inverse.js';
import type { Columns64 } from './notation.js';
import type { RlsParts } from './parts.js';
import type { Tail } from './tail.js';

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
}
