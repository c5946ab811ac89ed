import type { EditorConfig } from '@errata/contracts';
import { inversionBytes, panelRowsOf, type Share } from '@errata/tensor';

/** Above this dimension C is kept in fp32 unless the configuration or its conditioning demands fp64. */
const FP64_DIMENSION = 4096;

/** Bytes of the row panels of a symmetric d × d matrix that a share holds. */
export function panelBytes(dimension: number, elementBytes: number, { index, count }: Share): number {
  const height = panelRowsOf(dimension);
  let elements = 0;
  for (let p = index; p * height < dimension; p += count) {
    const rows = Math.min(height, dimension - p * height);
    elements += rows * (p * height + rows);
  }
  return elements * elementBytes;
}

/** What the inverse covariance of a layer takes, from below. */
export interface InverseNeed {
  /** A₀ and C₀ of the share, for as long as the layer is in use. */
  readonly resident: number;
  /** The moment, besides, while C₀ is made. */
  readonly making: number;
  /** The fp64 panels, besides, while C₀ is made in memory. */
  readonly panels: number;
}

/** What deriving C of a share again takes besides, in memory: its panels and, where there are several shares, the moment. */
export function refreshNeed(dimension: number, share: Share): number {
  return inversionBytes(dimension) + (share.count > 1 ? 4 * dimension ** 2 : 0);
}

export function inverseNeed(dimension: number, config: EditorConfig, share: Share): InverseNeed {
  const precision = config.precision ?? 'auto';
  const double = precision === 'fp64' || (precision === 'auto' && dimension <= FP64_DIMENSION);
  return {
    resident: 2 * panelBytes(dimension, double ? 8 : 4, share),
    making: 4 * dimension ** 2,
    panels: inversionBytes(dimension),
  };
}
