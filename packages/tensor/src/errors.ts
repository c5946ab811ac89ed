/** Codes of {@link TensorError}; all are codes of the system's error table. */
export type TensorErrorCode = 'INVALID_TENSOR' | 'ILL_CONDITIONED' | 'OUT_OF_MEMORY' | 'DEVICE_LOST';

/** A tensor that cannot be computed with: wrong shape, NaN or infinity, not positive definite, or too large. */
export class TensorError extends Error {
  override readonly name = 'TensorError';
  readonly code: TensorErrorCode;

  constructor(code: TensorErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** @throws TensorError INVALID_TENSOR when `length` is not rows × columns */
export function checkLength(what: string, length: number, rows: number, columns: number): void {
  if (length !== rows * columns)
    throw new TensorError(
      'INVALID_TENSOR',
      `${what}: ${length} elements where ${rows} × ${columns} = ${rows * columns} are needed`,
    );
}

/** @throws TensorError INVALID_TENSOR naming the first NaN or infinity */
export function checkFinite(what: string, values: Float32Array | Float64Array): void {
  if (values instanceof Float32Array ? finite32(values) : finite64(values)) return;
  for (let i = 0; i < values.length; i++)
    if (!Number.isFinite(values[i]))
      throw new TensorError('INVALID_TENSOR', `${what}: element ${i} is ${values[i]}, not a finite number`);
}

/** Whether all values are finite: x · 0 is NaN for what is not; four sums, since one would wait for itself at each addition. */
function finite32(values: Float32Array): boolean {
  const { length } = values;
  let [a, b, c, d] = [0, 0, 0, 0];
  let i = 0;
  for (; i + 3 < length; i += 4) {
    a += values[i] * 0;
    b += values[i + 1] * 0;
    c += values[i + 2] * 0;
    d += values[i + 3] * 0;
  }
  for (; i < length; i++) a += values[i] * 0;
  return a + b + c + d === 0;
}

/** The same code again: one function for both kinds of array runs at a quarter of the speed. */
function finite64(values: Float64Array): boolean {
  const { length } = values;
  let [a, b, c, d] = [0, 0, 0, 0];
  let i = 0;
  for (; i + 3 < length; i += 4) {
    a += values[i] * 0;
    b += values[i + 1] * 0;
    c += values[i + 2] * 0;
    d += values[i + 3] * 0;
  }
  for (; i < length; i++) a += values[i] * 0;
  return a + b + c + d === 0;
}
