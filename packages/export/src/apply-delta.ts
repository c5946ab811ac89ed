import type { Pause } from '@errata/model';
import type { LayerFactors } from './factors.js';
import { bytesOf, type NumberFormat } from './number-formats.js';

/** Rows between two pauses: some ten milliseconds of work at the widest layers in use. */
const rowsAtOnce = 16;

/** What storing W = W₀ + Δ in a format leaves of the change. */
export interface DeltaLoss {
  /** ‖Δ‖, Frobenius */
  readonly deltaNorm: number;
  /** ‖stored W − W‖ */
  readonly errorNorm: number;
}

/**
 * W₀ ← W₀ + B Gᵀ, each value summed in fp64 in the order of the columns and rounded once to what `format` can hold, so
 * that equal logs give equal bytes on every machine.
 * @param weight W₀, row-major [dₒ, d]; overwritten
 */
export async function applyDelta(
  weight: Float32Array,
  { inputs, outputs, rank, b, g }: LayerFactors,
  format: NumberFormat,
  pause: Pause,
): Promise<DeltaLoss> {
  const sums = new Float64Array(inputs);
  const row = new Float32Array(inputs);
  const [delta, error] = [new SumOfSquares(), new SumOfSquares()];
  if (inputs % format.blockValues !== 0) throw new RangeError(`rows of ${inputs} values do not fill blocks`);
  const scratch = new Uint8Array(bytesOf(format, inputs));
  for (let output = 0; output < outputs; output++) {
    const base = weight.subarray(output * inputs, (output + 1) * inputs);
    sums.set(base);
    for (let column = 0; column < rank; column++) {
      const factor = b[column * outputs + output];
      const at = column * inputs;
      for (let i = 0; i < inputs; i++) sums[i] += factor * g[at + i];
    }
    row.set(sums);
    scratch.set(format.encode(row));
    format.decode(scratch, row);
    for (let i = 0; i < inputs; i++) {
      delta.add(sums[i] - base[i]);
      error.add(row[i] - sums[i]);
    }
    base.set(row);
    if (output % rowsAtOnce === 0) await pause();
  }
  return { deltaNorm: delta.root, errorNorm: error.root };
}

class SumOfSquares {
  #sum = 0;

  add(value: number): void {
    this.#sum += value * value;
  }

  get root(): number {
    return Math.sqrt(this.#sum);
  }
}
