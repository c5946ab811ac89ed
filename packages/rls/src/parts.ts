import type { LinearAlgebra, MatrixEngine } from '@errata/tensor';

/** What computes: d × d matrices live in the engine, everything of the size of a batch is fp64 on the CPU. */
export interface RlsParts {
  readonly engine: MatrixEngine;
  readonly linalg: LinearAlgebra;
}
