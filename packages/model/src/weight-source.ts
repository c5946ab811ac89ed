/** A tensor of a weight file. `shape` is row-major: [out, in] for a matrix, whatever the format of the file. */
export interface WeightTensor {
  readonly shape: readonly number[];
  /** Product of the shape. */
  readonly values: number;
  /** Type of the stored numbers as safetensors names it, where the file is one. */
  readonly dtype?: string;
}

/** The tensors of a model's weight file or files, expanded one at a time. */
export interface WeightSource {
  /** The file, or the folder of several. */
  readonly path: string;
  readonly tensors: ReadonlyMap<string, WeightTensor>;
  /**
   * Expands a tensor to fp32, row-major, into `out` where given (which must have room for exactly its values). Reads in
   * pieces, so that the stored form is never held whole.
   * @throws ModelError FILE_MALFORMED where there is no such tensor or `out` has another size, UNSUPPORTED_FORMAT for
   * integers, FILE_TRUNCATED when the file shrank since it was opened
   */
  read(name: string, out?: Float32Array): Float32Array;
}
