import { checkColumns, checkSize, rowsOf, scaled, toDouble } from './columns.js';
import { RlsError } from './errors.js';
import type { Columns, Columns64, RowRange } from './notation.js';
import type { StartingDelta } from './starting-delta.js';
import { weighed, weightRoots } from './weights.js';

/** What fits to a state of d inputs that holds some of dₒ rows. All throw RlsError INVALID_TENSOR. */
export class Shapes {
  constructor(
    private readonly inputs: number,
    private readonly outputs: number,
    private readonly rows: RowRange,
  ) {}

  /** A batch of columns, each scaled by the root of its weight. */
  weigh(keys: Columns, residual: Columns, weights?: readonly number[]) {
    checkColumns('keys', keys, this.inputs, keys.count);
    if (keys.count === 0) throw new RlsError('INVALID_TENSOR', 'keys: a batch has at least one column');
    this.checkResidual(residual, keys.count);
    if (weights === undefined) return { keys: toDouble(keys), residual: toDouble(residual), roots: null };
    const roots = weightRoots(weights, keys.count);
    return { keys: weighed(keys, roots), residual: scaled(residual, roots), roots };
  }

  scaledProduct(product: Columns64, count: number, roots: readonly number[] | null): Columns64 {
    checkColumns('product', product, this.inputs, count);
    return roots === null ? product : scaled(product, roots);
  }

  checkInputs(what: string, columns: Columns, count: number): void {
    checkColumns(what, columns, this.inputs, count);
  }

  /** The values are looked at by the engine that multiplies with them. */
  checkVectors(columns: Columns): void {
    checkSize('vectors', columns, this.inputs, columns.count);
  }

  /** As `checkVectors`, of the rows held. */
  checkRowVectors(columns: Columns): void {
    checkSize('vectors', columns, this.#heldRows, columns.count);
  }

  checkResidual(residual: Columns, count: number): void {
    checkColumns('residual', residual, residual.length === this.outputs ? this.outputs : this.#heldRows, count);
  }

  /** The rows held of a left factor. */
  ownRows(what: string, b: Columns, count: number): Columns {
    if (b.length === this.outputs) {
      checkColumns(what, b, this.outputs, count);
      return rowsOf(b, this.rows.start, this.rows.end);
    }
    checkColumns(what, b, this.#heldRows, count);
    return b;
  }

  startOf({ b, g }: StartingDelta): StartingDelta {
    checkColumns('G of the start', g, this.inputs, b.count);
    return { b: toDouble(this.ownRows('B of the start', b, g.count)), g };
  }

  get #heldRows(): number {
    return this.rows.end - this.rows.start;
  }
}
