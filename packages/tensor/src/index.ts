export type { OpAttribute } from './binding.js';
export { symmetricEigenvalues } from './eigen.js';
export { createEngine, type Engine, type EngineOptions } from './engine.js';
export { checkFinite, checkLength, TensorError, type TensorErrorCode } from './errors.js';
export { largestEigenvalue } from './extremes.js';
export { jsLinearAlgebra } from './f64-js.js';
export type { LinearAlgebra, MatmulOptions, Operand64, Resident64 } from './linear-algebra.js';
export type { RawOps } from './raw-ops.js';
