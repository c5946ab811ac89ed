/** A matrix kept where the engine computes; fp64, row-major. Owned by its creator until `dispose`. */
export interface Resident64 {
  readonly rows: number;
  readonly columns: number;
  readonly bytes: number;
  read(): Float64Array;
  dispose(): void;
}

/** An operand: values on the host with their shape, or a resident matrix. */
export type Operand64 = Resident64 | { readonly rows: number; readonly columns: number; readonly data: Float64Array };

export interface MatmulOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}

/**
 * Double-precision dense linear algebra. Matrices are row-major Float64Arrays; a column-major m × n matrix is the
 * row-major n × m one. Synchronous: it runs on the CPU with every engine.
 */
export interface LinearAlgebra {
  /** Copies a rows × columns matrix to where products with it need no further copy. */
  upload(data: Float64Array, rows: number, columns: number): Resident64;
  /** op(A) · op(B), on the host. @throws TensorError INVALID_TENSOR when the inner dimensions differ */
  matmul(a: Operand64, b: Operand64, options?: MatmulOptions): Float64Array;
  /**
   * Lower L with L Lᵀ = A (n × n, symmetric positive definite), upper part zero.
   * @throws TensorError ILL_CONDITIONED when A is not numerically positive definite
   */
  cholesky(a: Float64Array, n: number): Float64Array;
  /** X with L X = B, or Lᵀ X = B when `transpose` is set; L n × n lower, B and X n × columns. */
  solveLower(l: Float64Array, b: Float64Array, n: number, columns: number, transpose?: boolean): Float64Array;
  /** A⁻¹ from the Cholesky factor of A; exactly symmetric. */
  invertFromCholesky(l: Float64Array, n: number): Float64Array;
  /** A⁻¹ of a symmetric positive definite A. @throws TensorError ILL_CONDITIONED */
  invertSpd(a: Float64Array, n: number): Float64Array;
}
