import { norm } from './columns.js';
import { informationTimes } from './information.js';
import { fixedStart, lanczosSpectrum } from './lanczos.js';
import type { LayerState } from './layer-state.js';
import type { Columns64 } from './notation.js';
import type { RlsParts } from './parts.js';
import type { DerivedSegment } from './survivors.js';

/** Dimension up to which eigenvalues get all their Lanczos steps. */
const SMALL = 4096;
const STEPS = { small: 60, large: 12 };
/** Growth of the largest value at which it is as good as found. */
const SETTLED = 1e-5;
/** Columns that an estimate outlives: it takes four times as long as all else that is measured. */
const KEPT_COLUMNS = 16;
/** Share of λ_max(A) that their keys may add to it, by Weyl's inequality. */
const KEPT_SHARE = 0.1;

interface Estimate {
  readonly value: number;
  /** λ_max(A) */
  readonly largest: number;
  /** The segments it was made of, and the last of them. */
  readonly count: number;
  readonly last: DerivedSegment;
}

const estimates = new WeakMap<LayerState, Estimate>();

/** The largest eigenvalue, within about 1e-4 at small and 1e-2 at large dimensions. */
async function largest(n: number, apply: (x: Columns64) => Promise<Columns64>): Promise<number> {
  const steps = n <= SMALL ? STEPS.small : STEPS.large;
  const points = await lanczosSpectrum(
    n,
    steps,
    fixedStart(n),
    async (data) => (await apply({ length: n, count: 1, data })).data,
    SETTLED,
  );
  return points[points.length - 1].value;
}

/** Whether nothing happened since but additions, few and small ones. */
function holds({ largest: before, count, last }: Estimate, segments: readonly DerivedSegment[]): boolean {
  const since = segments.slice(count);
  if (segments[count - 1] !== last || since.some(({ sign }) => sign < 0)) return false;
  const columns = since.reduce((sum, { keys }) => sum + keys.count, 0);
  const energy = since.reduce((sum, { keys }) => sum + norm(keys.data) ** 2, 0);
  return columns <= KEPT_COLUMNS && energy <= KEPT_SHARE * before;
}

/**
 * λ_max(A) / λ_min(A) of A = C⁻¹ by Lanczos iteration; that of A₀ for a state without columns or with a share of C. Additions lower
 * λ_max(C) and raise λ_max(A) by no more than ‖K‖², so an estimate serves for the next columns, too: up to 16, or a tenth.
 */
export async function conditionOf(parts: RlsParts, state: LayerState): Promise<number> {
  const { rank, inputs, inverse, segments } = state;
  if (rank === 0 || !state.whole) return inverse.condition;
  const known = estimates.get(state);
  if (known !== undefined && holds(known, segments)) return known.value;
  const count = segments.length;
  const last = segments[count - 1];
  const largestOfC = await largest(inputs, (x) => state.inverseTimes(x));
  const largestOfA = await largest(inputs, (x) => informationTimes(parts, inverse, state.columns(), x));
  const value = largestOfC * largestOfA;
  estimates.set(state, { value, largest: largestOfA, count, last });
  return value;
}
