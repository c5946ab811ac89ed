import { type Budget, budgetInfo, type Forecast } from '@errata/contracts';

/** Fewer positions show no slope. */
const LEAST_POINTS = 5;
/** Positions looked back at: the present slope, not that of a younger stream. */
const MOST_POINTS = 50;
/** Share of pairs of positions that must go toward the limit: else what is seen may be noise. */
const AGREEMENT = 0.75;
/** Further away is no forecast. */
const HORIZON_EDITS = 10_000_000;

/** A budget at one position: `edits` written up to there. */
export interface ForecastPoint {
  readonly edits: number;
  readonly value: number;
}

/**
 * How many edits are left until a budget is reached, by the estimator of Theil (1950) and Sen (1968): the median of the slopes
 * of all pairs, which a quarter of outliers does not move. Null where the positions are too few, or where less than three
 * quarters of the pairs go toward the limit.
 */
export function forecastOf(budget: Budget, limit: number, all: readonly ForecastPoint[]): Forecast {
  const points = all.slice(-MOST_POINTS);
  const last = points.at(-1);
  const known = { budget, limit, value: last?.value ?? null, points: points.length };
  const direction = budgetInfo(budget).side === 'above' ? 1 : -1;
  if (last && direction * (last.value - limit) > 0)
    return { ...known, slope: slopeOf(points)?.slope ?? null, editsLeft: 0, reason: 'reached' };
  const found = points.length < LEAST_POINTS ? null : slopeOf(points);
  if (!last || !found) return { ...known, slope: null, editsLeft: null, reason: 'insufficient' };
  const { slope, slopes } = found;
  const toward = slopes.filter((one) => direction * one > 0).length / slopes.length;
  const present = median(points.map(({ edits, value }) => value - slope * edits)) + slope * last.edits;
  const left = Math.ceil((limit - present) / slope);
  if (toward < AGREEMENT || direction * slope <= 0 || left > HORIZON_EDITS)
    return { ...known, slope, editsLeft: null, reason: 'flat' };
  return { ...known, slope, editsLeft: Math.max(0, left), reason: null };
}

function slopeOf(points: readonly ForecastPoint[]): { slope: number; slopes: number[] } | null {
  const slopes = points.flatMap((from, i) =>
    points
      .slice(i + 1)
      .flatMap((to) => (to.edits > from.edits ? [(to.value - from.value) / (to.edits - from.edits)] : [])),
  );
  return slopes.length === 0 ? null : { slope: median(slopes), slopes };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
