/** Storage and arithmetic of a large matrix. */
export type Precision = 'fp32' | 'fp64';

/** Vectors side by side: element i of vector j lies at j · length + i. */
export interface Vectors {
  readonly length: number;
  readonly count: number;
  readonly data: Float64Array | Float32Array;
}

export interface Vectors64 extends Vectors {
  readonly data: Float64Array;
}

/** Which of the row panels of a symmetric matrix are held: panel p belongs to share p mod count. */
export interface Share {
  readonly index: number;
  readonly count: number;
}

/** Rows `firstRow` to `firstRow + rows` of the lower part: row-major, `columns` = firstRow + rows of them. */
export interface Panel {
  readonly firstRow: number;
  readonly rows: number;
  readonly columns: number;
  readonly data: Float64Array | Float32Array;
}

export interface SymmetricSpec {
  readonly dimension: number;
  readonly precision: Precision;
  /** All panels by default. */
  readonly share?: Share;
  /** Lower panels in ascending order; only those of the share are asked for. */
  fill(firstRow: number, rows: number): Panel | Promise<Panel>;
}

/**
 * A symmetric d × d matrix kept where the engine computes, as row panels of its lower part: half the memory of a square
 * one, and symmetric whatever the rounding. With a share, `times` gives the part that the held panels contribute; the
 * parts of all shares add up to the product. Owned by its creator until `dispose`.
 */
export interface SymmetricMatrix {
  readonly dimension: number;
  readonly precision: Precision;
  readonly share: Share;
  /** Rows of a panel; the last may have fewer. A function of the dimension alone, so that all workers agree. */
  readonly panelRows: number;
  readonly bytes: number;
  /** M X, d × u. */
  times(x: Vectors): Promise<Vectors64>;
  /** M ← M + Σ factorⱼ gⱼ gⱼᵀ in place; G d × u, one factor a column. Extra memory: at most a tenth of a square matrix. */
  rankUpdate(g: Vectors, factors: readonly number[]): Promise<void>;
  copy(): Promise<SymmetricMatrix>;
  /** The held panels in ascending order, read one at a time. */
  panels(): AsyncIterable<Panel>;
  dispose(): void;
}

/** A rows × columns matrix kept where the engine computes. Owned by its creator until `dispose`. */
export interface DenseMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly precision: Precision;
  readonly bytes: number;
  /** M X: columns × u to rows × u. */
  times(x: Vectors): Promise<Vectors64>;
  /** Mᵀ Y: rows × u to columns × u. */
  transposeTimes(y: Vectors): Promise<Vectors64>;
  /** M ← M + B Gᵀ in place; B rows × u, G columns × u. */
  addOuter(b: Vectors, g: Vectors): Promise<void>;
  copy(): Promise<DenseMatrix>;
  /** Rows from `first` on, row-major. */
  readRows(first: number, count: number): Promise<Float64Array>;
  dispose(): void;
}

/** Rates of an engine on this machine, measured when first asked for. */
export interface EngineProfile {
  readonly precision: Precision;
  /** Floating-point operations a second of a large square product. */
  readonly matmulFlops: number;
  /** Bytes read plus bytes written a second by a large copy. */
  readonly copyBytes: number;
  /** Seconds one small operation takes however little it computes. */
  readonly overhead: number;
}

/** Large matrices that stay where they are computed with. Skinny operands come and go as host arrays. */
export interface MatrixEngine {
  readonly name: 'native' | 'webgpu' | 'wasm';
  /** What computes, for people: versions, adapter. */
  readonly description: string;
  readonly precisions: readonly Precision[];
  /** @throws TensorError INVALID_TENSOR, OUT_OF_MEMORY */
  symmetric(spec: SymmetricSpec): Promise<SymmetricMatrix>;
  /** A matrix of zeros. @throws TensorError OUT_OF_MEMORY */
  zeros(rows: number, columns: number, precision: Precision): Promise<DenseMatrix>;
  profile(precision: Precision): Promise<EngineProfile>;
  dispose(): Promise<void>;
}

/** Rows of a panel of a symmetric matrix of dimension d. */
export function panelRowsOf(dimension: number): number {
  return Math.min(dimension, 512);
}
