/** Rotary position embedding (RoFormer, arXiv 2104.09864) of a kind of layer. */
export interface Rotary {
  readonly base: number;
  /** Dimensions of a head that are rotated, even; the others carry no position. */
  readonly dimensions: number;
  /** Angle of each pair of dimensions between neighbouring positions, [dimensions / 2]; after scaling. */
  readonly frequencies: readonly number[];
  /** What cosines and sines are multiplied with: YaRN's attention factor, else 1. */
  readonly magnitude: number;
}

/** How the frequencies were stretched for longer contexts, named as in transformers' `rope_scaling`. */
export type RotaryScaling =
  | { readonly kind: 'none' }
  | { readonly kind: 'linear'; readonly factor: number }
  /** Each frequency divided by a figure of its own. */
  | { readonly kind: 'divided'; readonly divisors: ArrayLike<number> }
  | {
      readonly kind: 'llama3';
      readonly factor: number;
      readonly lowFactor: number;
      readonly highFactor: number;
      readonly originalContext: number;
    }
  | {
      readonly kind: 'yarn';
      readonly factor: number;
      readonly originalContext: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      /** Whether the bounds of the ramp are rounded to whole dimensions. */
      readonly truncate: boolean;
      readonly magnitude: number;
    };

/** Frequencies of a rotary embedding; formulas as in transformers' modeling_rope_utils.py. */
export function createRotary(base: number, dimensions: number, scaling: RotaryScaling): Rotary {
  const plain = Array.from({ length: dimensions / 2 }, (_, i) => base ** ((-2 * i) / dimensions));
  const magnitude = scaling.kind === 'yarn' ? scaling.magnitude : 1;
  return { base, dimensions, frequencies: scaled(plain, base, dimensions, scaling), magnitude };
}

/** YaRN's attention factor of a stretch (arXiv 2309.00071, section 3.4). */
export function yarnMagnitude(factor: number, weight = 1): number {
  return factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1;
}

function scaled(plain: readonly number[], base: number, dimensions: number, scaling: RotaryScaling): number[] {
  switch (scaling.kind) {
    case 'none':
      return [...plain];
    case 'linear':
      return plain.map((frequency) => frequency / scaling.factor);
    case 'divided':
      return plain.map((frequency, i) => frequency / scaling.divisors[i]);
    case 'llama3': {
      const { factor, lowFactor, highFactor, originalContext } = scaling;
      return plain.map((frequency) => {
        const turns = (originalContext * frequency) / (2 * Math.PI);
        if (turns < lowFactor) return frequency / factor;
        if (turns > highFactor) return frequency;
        const kept = (turns - lowFactor) / (highFactor - lowFactor);
        return ((1 - kept) * frequency) / factor + kept * frequency;
      });
    }
    case 'yarn': {
      const { factor, originalContext, betaFast, betaSlow, truncate } = scaling;
      const dimensionOf = (turns: number): number =>
        (dimensions * Math.log(originalContext / (turns * 2 * Math.PI))) / (2 * Math.log(base));
      const [fast, slow] = [dimensionOf(betaFast), dimensionOf(betaSlow)];
      const low = Math.max(truncate ? Math.floor(fast) : fast, 0);
      const high = Math.min(truncate ? Math.ceil(slow) : slow, dimensions - 1);
      const width = high === low ? 0.001 : high - low;
      return plain.map((frequency, i) => {
        const stretched = Math.min(1, Math.max(0, (i - low) / width));
        return (stretched * frequency) / factor + (1 - stretched) * frequency;
      });
    }
  }
}
