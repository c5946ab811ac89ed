/** The middle value, or the mean of the two middle ones; NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/** Means over consecutive runs of `period` values; a rest is left out. */
export function periodMeans(values: readonly number[], period: number): number[] {
  const runs = Math.floor(values.length / period);
  return Array.from({ length: runs }, (_, i) => mean(values.slice(i * period, (i + 1) * period)));
}

/**
 * Typical cost of a batch with its share of a fold: the median over whole fold periods of their mean. Fewer batches
 * than a period give their plain mean.
 */
export function amortised(values: readonly number[], period: number): number {
  const means = periodMeans(values, period);
  return means.length === 0 ? mean(values) : median(means);
}

/** The middle of a stream: without the first and last tenth. */
export function middleOf(values: readonly number[]): readonly number[] {
  const cut = Math.floor(values.length / 10);
  return values.slice(cut, values.length - cut);
}

/** Cost of a stream's end against its start. */
export interface Flatness {
  /** Cost of the last batches over that of the first; NaN where the stream is shorter than two batches. */
  readonly lastToFirst: number;
  /** Batches compared at either end. */
  readonly windowBatches: number;
  /** Whether the windows hold whole fold periods. */
  readonly wholePeriods: boolean;
}

/** Fold periods compared at either end at least, where the stream has them: a median of fewer is noise. */
const MIN_PERIODS = 5;

/**
 * Compares the two ends of a stream: 1 % of its batches each, widened to whole fold periods and at least
 * {@link MIN_PERIODS} of them, and no more than half the stream.
 */
export function flatness(values: readonly number[], period: number): Flatness {
  const half = Math.floor(values.length / 2);
  const wanted = Math.max(Math.ceil(values.length / 100 / period), MIN_PERIODS);
  const periods = Math.min(wanted, Math.floor(half / period));
  const windowBatches = periods > 0 ? periods * period : half;
  const first = values.slice(0, windowBatches);
  const last = values.slice(values.length - windowBatches);
  return {
    lastToFirst: amortised(last, period) / amortised(first, period),
    windowBatches,
    wholePeriods: periods > 0,
  };
}
