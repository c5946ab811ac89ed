import type { LinearAlgebra, Panel, Share } from '@errata/tensor';
import { addInto, asRows, inner, rowsOf, toDouble } from './columns.js';
import type { Columns64, Sign } from './notation.js';

/** A matrix that grows by columns; doubling keeps the cost of a column constant. */
class GrowingColumns {
  #data: Float64Array;
  #count = 0;

  constructor(readonly length: number) {
    this.#data = new Float64Array(0);
  }

  get bytes(): number {
    return this.#data.byteLength;
  }

  append(columns: Columns64): void {
    const needed = (this.#count + columns.count) * this.length;
    if (needed > this.#data.length) {
      const larger = new Float64Array(Math.max(needed, 2 * this.#data.length));
      larger.set(this.#data.subarray(0, this.#count * this.length));
      this.#data = larger;
    }
    this.#data.set(columns.data, this.#count * this.length);
    this.#count += columns.count;
  }

  truncate(count: number): void {
    this.#count = count;
    if (count === 0) this.#data = new Float64Array(0);
  }

  view(): Columns64 {
    return { length: this.length, count: this.#count, data: this.#data.subarray(0, this.#count * this.length) };
  }
}

/** Rows `first` to `first + count` of B Gᵀ, row-major. */
export function outerRows(
  linalg: LinearAlgebra,
  { b, g }: { readonly b: Columns64; readonly g: Columns64 },
  first: number,
  count: number,
): Float64Array {
  const rows = toDouble(rowsOf(b, first, first + count));
  return linalg.matmul(asRows(rows), asRows(g), { transposeA: true });
}

/** The columns not yet folded into dense matrices: C is less G Σ Gᵀ and Δ more B Gᵀ than what is folded. */
export class Tail {
  readonly #linalg: LinearAlgebra;
  readonly #g: GrowingColumns;
  readonly #b: GrowingColumns;
  readonly #signs: Sign[] = [];

  constructor(linalg: LinearAlgebra, inputs: number, rows: number) {
    this.#linalg = linalg;
    this.#g = new GrowingColumns(inputs);
    this.#b = new GrowingColumns(rows);
  }

  get count(): number {
    return this.#signs.length;
  }

  get bytes(): number {
    return this.#g.bytes + this.#b.bytes;
  }

  get g(): Columns64 {
    return this.#g.view();
  }

  get b(): Columns64 {
    return this.#b.view();
  }

  get signs(): readonly Sign[] {
    return this.#signs;
  }

  push(g: Columns64, b: Columns64, sign: Sign): void {
    this.#g.append(g);
    this.#b.append(b);
    for (let i = 0; i < g.count; i++) this.#signs.push(sign);
  }

  truncate(count: number): void {
    this.#g.truncate(count);
    this.#b.truncate(count);
    this.#signs.length = count;
  }

  /** tr C, from that of what is folded and the batches whose columns these are. */
  traceFrom(
    trace: number,
    batches: readonly { readonly sign: Sign; readonly g: { readonly count: number } }[],
  ): number {
    let left = trace;
    let at = 0;
    for (const { sign, g } of batches) {
      const own = this.g.data.subarray(at, at + g.count * this.#g.length);
      at += own.length;
      left -= sign * inner(own, own);
    }
    return left;
  }

  /** into ← into − G Σ Gᵀ X */
  subtractInverse(x: Columns64, into: Float64Array): void {
    if (this.count === 0) return;
    const along = this.#along(x);
    for (let i = 0; i < along.length; i++) along[i] *= -this.#signs[i % this.count];
    addInto(into, this.#linalg.matmul({ rows: x.count, columns: this.count, data: along }, asRows(this.g)));
  }

  /**
   * into ← into − (the part of G Σ Gᵀ in the lower panels of a share, mirrored) X. So each share's product is that of its
   * own C, whenever the others fold theirs.
   */
  subtractShare(x: Columns64, into: Float64Array, share: Share, panelRows: number): void {
    if (this.count === 0) return;
    const panels = Math.ceil(x.length / panelRows);
    const held = (p: number) => p % share.count === share.index;
    const cut = (of: Columns64, p: number) =>
      asRows(toDouble(rowsOf(of, p * panelRows, Math.min((p + 1) * panelRows, x.length))));
    const alongs = Array.from({ length: panels }, (_, p) => {
      const along = this.#linalg.matmul(cut(x, p), cut(this.g, p), { transposeB: true });
      for (let i = 0; i < along.length; i++) along[i] *= this.#signs[i % this.count];
      return along;
    });
    const before = new Float64Array(x.count * this.count);
    const after = new Float64Array(before.length);
    for (let p = 0; p < panels; p++) if (held(p)) addInto(after, alongs[p]);
    for (let p = 0; p < panels; p++) {
      addInto(before, alongs[p]);
      if (held(p)) addInto(after, alongs[p], -1);
      const weights = held(p) ? addInto(after.slice(), before) : after;
      const rows = cut(this.g, p);
      const part = this.#linalg.matmul({ rows: x.count, columns: this.count, data: weights }, rows);
      for (let j = 0; j < x.count; j++)
        for (let i = 0; i < rows.columns; i++) into[j * x.length + p * panelRows + i] -= part[j * rows.columns + i];
    }
  }

  /** into ← into − (G Σ Gᵀ of the panel's place) */
  subtractPanel({ firstRow, rows, columns }: Omit<Panel, 'data'>, into: Float64Array): void {
    if (this.count === 0) return;
    const cut = (from: number, to: number) => asRows(toDouble(rowsOf(this.g, from, to)));
    const own = cut(firstRow, firstRow + rows);
    const signed = own.data.map((x, i) => -x * this.#signs[Math.floor(i / rows)]);
    addInto(into, this.#linalg.matmul({ ...own, data: signed }, cut(0, columns), { transposeA: true }));
  }

  /** into ← into + B Gᵀ X */
  addChange(x: Columns64, into: Float64Array): void {
    if (this.count === 0) return;
    const rows = { rows: x.count, columns: this.count, data: this.#along(x) };
    addInto(into, this.#linalg.matmul(rows, asRows(this.b)));
  }

  /** into ← into + G Bᵀ Y */
  addChangeTransposed(y: Columns64, into: Float64Array): void {
    if (this.count === 0) return;
    const along = this.#linalg.matmul(asRows(y), asRows(this.b), { transposeB: true });
    addInto(into, this.#linalg.matmul({ rows: y.count, columns: this.count, data: along }, asRows(this.g)));
  }

  #along(x: Columns64): Float64Array {
    return this.#linalg.matmul(asRows(x), asRows(this.g), { transposeB: true });
  }
}
