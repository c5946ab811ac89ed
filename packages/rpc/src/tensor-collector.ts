import { ErrataError } from '@errata/contracts';
import type { TensorChunk } from './generated/errata/v1/tensor.js';
import { type DenseMatrix, type DenseMatrix64, TensorAssembler, tensorBytes } from './tensor.js';

/**
 * Most bytes that the tensors of one update may hold together: keys and residual of 512 edits at the widest layers in
 * use (18,944 inputs), in fp64 as they travel between workers, with room to spare.
 */
export const maxUpdateBytes = 128 << 20;

/** Most bytes of one dense weight change: 2³⁰ elements, more than any linear layer in use. */
export const maxMatrixBytes = 4 * 2 ** 30;

/** Puts the named tensors of one message stream together. */
export class TensorCollector {
  readonly #tensors = new Map<string, TensorAssembler>();
  #declared = 0;

  /**
   * @param names tensors that are expected
   * @param maxBytes most bytes of all of them
   */
  constructor(
    private readonly names: readonly string[],
    private readonly maxBytes: number,
  ) {}

  /** @throws PAYLOAD_TOO_LARGE before anything of a tensor too large is kept; INVALID_TENSOR */
  add(chunk: TensorChunk | undefined): void {
    if (chunk === undefined) throw new ErrataError('INVALID_TENSOR', 'a message without a chunk');
    let assembler = this.#tensors.get(chunk.name);
    if (assembler === undefined) {
      if (!this.names.includes(chunk.name))
        throw new ErrataError(
          'INVALID_TENSOR',
          `tensor "${chunk.name}" is not expected, only ${this.names.join(', ') || 'none'}`,
        );
      this.#declared += tensorBytes(chunk);
      if (this.#declared > this.maxBytes)
        throw new ErrataError(
          'PAYLOAD_TOO_LARGE',
          `${chunk.name} is ${chunk.rows} × ${chunk.columns}: ${this.#declared} bytes with what came before, above the limit of ${this.maxBytes}; send smaller batches`,
        );
      assembler = new TensorAssembler(chunk);
      this.#tensors.set(chunk.name, assembler);
    }
    assembler.add(chunk);
  }

  /** @throws INVALID_TENSOR when it is absent or incomplete */
  matrix(name: string): DenseMatrix {
    return this.#find(name).matrix();
  }

  /** @throws INVALID_TENSOR when it is absent or incomplete */
  matrix64(name: string): DenseMatrix64 {
    return this.#find(name).matrix64();
  }

  #find(name: string): TensorAssembler {
    const found = this.#tensors.get(name);
    if (found === undefined) throw new ErrataError('INVALID_TENSOR', `${name || 'the tensor'} is missing`);
    return found;
  }
}
