export { createMatrixEngine, type MatrixEngineOptions } from './create-matrix-engine.js';
export { symmetricEigenvalues } from './eigen.js';
export { createEngine, type Engine, type EngineOptions } from './engine.js';
export { checkFinite, checkLength, TensorError, type TensorErrorCode } from './errors.js';
export { largestEigenvalue, largestEigenvalueAsync } from './extremes.js';
export { jsLinearAlgebra } from './f64-js.js';
export { type Adapter, findAdapter } from './find-adapter.js';
export { type InvertOptions, inversionBytes, invertSymmetric, type SymmetricInverse } from './invert-symmetric.js';
export type { LinearAlgebra, MatmulOptions, Operand64, Resident64 } from './linear-algebra.js';
export {
  type DenseMatrix,
  type EngineProfile,
  type MatrixEngine,
  type Panel,
  type Precision,
  panelRowsOf,
  type Share,
  type SymmetricMatrix,
  type SymmetricSpec,
  type Vectors,
  type Vectors64,
} from './matrix-engine.js';
export type { AttentionPlan, Normed, TensorOps } from './tensor-ops.js';
