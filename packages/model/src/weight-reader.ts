import type { TensorNames } from './architectures/family.js';
import { ModelError } from './errors.js';
import { shown } from './shown.js';
import type { WeightSource } from './weight-source.js';

/** Reads tensors by the names of an architecture, checks their shapes, and knows afterwards which were not read. */
export class WeightReader {
  readonly #used = new Set<string>();
  readonly #root: string;

  constructor(
    private readonly source: WeightSource,
    private readonly names: TensorNames,
  ) {
    this.#root = names.roots.find((root) => source.tensors.has(`${root}${names.embedding}.weight`)) ?? names.roots[0];
  }

  /** A tensor below the root of the names, e.g. `h.0.ln_1` and `bias`. @throws ModelError FILE_MALFORMED */
  read(name: string, part: 'weight' | 'bias', shape: readonly number[], out?: Float32Array): Float32Array {
    return this.#read(`${this.#root}${name}.${part}`, shape, out);
  }

  /** Weight or bias of the unembedding, which has no root. @throws ModelError FILE_MALFORMED */
  readUnembedding(part: 'weight' | 'bias', shape: readonly number[]): Float32Array {
    const candidates = this.names.unembedding.map((name) => `${name}.${part}`);
    return this.#read(candidates.find((name) => this.source.tensors.has(name)) ?? candidates[0], shape);
  }

  /** A matrix of a layer, [out, in] whatever the order of the file. @throws ModelError FILE_MALFORMED */
  matrix(name: string, rows: number, columns: number, out?: Float32Array): Float32Array {
    if (!this.names.transposed) return this.read(name, 'weight', [rows, columns], out);
    const stored = this.read(name, 'weight', [columns, rows]);
    const values = out ?? new Float32Array(stored.length);
    for (let column = 0; column < columns; column++)
      for (let row = 0; row < rows; row++) values[row * columns + column] = stored[column * rows + row];
    return values;
  }

  /**
   * Refuses a file with tensors that nothing asked for: the model computes something that is not known here.
   * @param tied the unembedding is the embedding; a copy of it may be left in the file
   * @throws ModelError UNSUPPORTED_ARCHITECTURE
   */
  checkAllRead(tied: boolean): void {
    const { ignored, unembedding } = this.names;
    for (const name of this.source.tensors.keys()) {
      if (this.#used.has(name) || ignored.some((pattern) => pattern.test(name))) continue;
      if (tied && unembedding.some((copy) => name === `${copy}.weight`)) continue;
      throw new ModelError(
        'UNSUPPORTED_ARCHITECTURE',
        `${this.source.path} has the tensor ${shown(name)}, which this architecture does not have: the model is of another kind than its configuration says`,
      );
    }
  }

  #read(name: string, shape: readonly number[], out?: Float32Array): Float32Array {
    const tensor = this.source.tensors.get(name);
    if (!tensor) throw new ModelError('FILE_MALFORMED', `${this.source.path} lacks the tensor ${shown(name)}`);
    if (tensor.shape.join() !== shape.join())
      throw new ModelError(
        'FILE_MALFORMED',
        `${this.source.path}: ${shown(name)} is [${tensor.shape}], the configuration says [${shape}]`,
      );
    this.#used.add(name);
    return this.source.read(name, out);
  }
}
