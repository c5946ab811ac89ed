export type ScaleKind = 'linear' | 'log';

/** Maps values to places along an axis, with the values to mark. */
export interface Axis {
  readonly ticks: readonly number[];
  /** 0 at the start of the axis, 1 at its end. */
  place(value: number): number;
  label(tick: number): string;
}

/** Marks wanted on a linear axis. */
const wantedTicks = 6;
/** Decades beyond which a logarithmic axis marks the powers of ten alone. */
const denseDecades = 2;

/** An axis that holds all values; a linear one begins at zero where all are positive. */
export function createAxis(kind: ScaleKind, values: readonly number[]): Axis {
  const low = Math.min(...values);
  const high = Math.max(...values);
  switch (kind) {
    case 'linear':
      return linearAxis(Math.min(0, low), high > 0 ? high : 1);
    case 'log':
      return logAxis(low, high);
  }
}

function linearAxis(low: number, high: number): Axis {
  const raw = (high - low) / wantedTicks;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 2.5, 5].find((factor) => factor * power >= raw) ?? 10);
  const from = Math.floor(low / step);
  const to = Math.ceil(high / step);
  const [start, end] = [from * step, to * step];
  return {
    ticks: Array.from({ length: to - from + 1 }, (_, i) => (from + i) * step),
    place: (value) => (value - start) / (end - start),
    label: shortNumber,
  };
}

function logAxis(low: number, high: number): Axis {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const all = Array.from({ length: last - first + 1 }, (_, i) => [1, 2, 5].map((f) => f * 10 ** (first + i))).flat();
  const start = all.findLast((tick) => tick <= low * (1 + 1e-9)) ?? low;
  const end = all.find((tick) => tick >= high * (1 - 1e-9) && tick > start) ?? 10 * start;
  const dense = last - first <= denseDecades;
  const ticks = all.filter((tick, i) => tick >= start && tick <= end && (dense || i % 3 === 0));
  return { ticks, place: (value) => Math.log(value / start) / Math.log(end / start), label: shortNumber };
}

/** At most four significant digits, thousands apart. */
export function shortNumber(value: number): string {
  return Number(value.toPrecision(4)).toLocaleString('en-US', { maximumSignificantDigits: 4 });
}
