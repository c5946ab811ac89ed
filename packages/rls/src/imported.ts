import { largestEigenvalue, TensorError } from '@errata/tensor';
import { asRows, toDouble } from './columns.js';
import { RlsError } from './errors.js';
import type { LayerState } from './layer-state.js';
import type { Columns, Columns64, Segment, Update } from './notation.js';
import type { RlsParts } from './parts.js';
import { REVOKE_LIMIT } from './state-options.js';
import { completeUpdate, type RightFactor } from './update.js';

/** Largest eigenvalue of GᵀAG that an adapter of unknown keys may have: along its directions A at most doubles. */
const FOREIGN_SHARE = 0.5;

/**
 * An adapter as an update: W ← W + B Gᵀ with factors that come from elsewhere. Any G with T = I − GᵀAG positive definite
 * is the right factor of some keys: from G = C K R⁻ᵀ and S = R Rᵀ follows T = R⁻¹R⁻ᵀ, so that R is the inverse of the
 * Cholesky factor of T and K = A G Rᵀ. They are never recorded, since A G in fp32 would lose what C makes large again.
 *
 * @throws RlsError INVALID_TENSOR without G; LOG_MISMATCH where T is not positive definite
 */
export async function importedFactor(
  parts: RlsParts,
  state: LayerState,
  { seq, sign, g: recorded }: Segment,
): Promise<RightFactor & { readonly keys: Columns64 }> {
  if (recorded === undefined || sign < 0)
    throw new RlsError('INVALID_TENSOR', `seq ${seq} has neither keys nor the G of an imported adapter`);
  const g = toDouble(recorded);
  const along = await state.informationTimes(g);
  try {
    return { g, ...keysFrom(parts, g, along) };
  } catch (error) {
    if (!(error instanceof TensorError) || error.code !== 'ILL_CONDITIONED') throw error;
    throw new RlsError(
      'LOG_MISMATCH',
      `I − GᵀAG of the imported seq ${seq} is not positive definite: ${error.message}`,
    );
  }
}

/** R, and K = A G Rᵀ. @param along A G @throws TensorError ILL_CONDITIONED */
function keysFrom({ linalg }: RlsParts, g: Columns64, along: Columns64): { r: Float64Array; keys: Columns64 } {
  const u = g.count;
  const t = gramOf(linalg, g, along);
  for (let i = 0; i < t.length; i++) t[i] = (i % (u + 1) === 0 ? 1 : 0) - t[i];
  const root = linalg.cholesky(t, u);
  const identity = new Float64Array(u * u);
  for (let i = 0; i < u; i++) identity[i * u + i] = 1;
  const r = linalg.solveLower(root, identity, u, u);
  return { r, keys: { ...g, data: linalg.matmul({ rows: u, columns: u, data: r }, asRows(along)) } };
}

/** GᵀAG, symmetric to the last bit. */
function gramOf(linalg: RlsParts['linalg'], g: Columns64, along: Columns64): Float64Array {
  const u = g.count;
  const gram = linalg.matmul(asRows(g), asRows(along), { transposeB: true });
  for (let i = 0; i < u; i++)
    for (let j = 0; j < i; j++) {
      const value = (gram[i * u + j] + gram[j * u + i]) / 2;
      gram[i * u + j] = value;
      gram[j * u + i] = value;
    }
  return gram;
}

/**
 * The update that an adapter is to a layer: B and G as given but for a power of two, so that B Gᵀ keeps its bits. `own`
 * factors, which a log recorded from the same W₀ without taking anything out, go in as they are where T allows it: then
 * C is what it was there. Of others no keys are known: G is scaled so that C loses at most half along it, which is the
 * adapter weighing as much as the anchor does.
 *
 * @param b dₒ × r  @param g d × r, both fp32
 * @throws RlsError INVALID_TENSOR where the scaled factors leave the range of fp32
 */
export async function importAdapter(
  parts: RlsParts,
  state: LayerState,
  { b, g, own }: { readonly b: Columns; readonly g: Columns; readonly own: boolean },
): Promise<Update> {
  const { linalg } = parts;
  const wide = toDouble(g);
  const along = await state.informationTimes(wide);
  const gram = gramOf(linalg, wide, along);
  const scale = own && takesAsIs(parts, wide, along) ? 1 : scaleFor(linalg, gram, g.count);
  const scaledG = scaledBy(wide, scale);
  const scaledB = scaledBy(toDouble(b), 1 / scale);
  for (const [name, { data }] of Object.entries({ B: scaledB, G: scaledG }))
    if (!data.every((x) => Number.isFinite(Math.fround(x))))
      throw new RlsError('INVALID_TENSOR', `${name} of the adapter times ${scale} is beyond the range of fp32`);
  const { r, keys } = keysFrom(parts, scaledG, scaledBy(along, scale));
  const square = { rows: g.count, columns: g.count, data: r };
  const residual = { ...scaledB, data: linalg.matmul(square, asRows(scaledB)) };
  return completeUpdate(linalg, keys, residual, { g: scaledG, r }, 1, scaledB.data);
}

/** Whether T of own factors is far enough from singular for columns to be taken out by a downdate. */
function takesAsIs(parts: RlsParts, g: Columns64, along: Columns64): boolean {
  try {
    const { r } = keysFrom(parts, g, along);
    // λ_min(T) = 1 / λ_max(RᵀR)
    const u = g.count;
    const square = { rows: u, columns: u, data: r };
    const largest = largestEigenvalue(u, (x) => {
      const inner = parts.linalg.matmul({ rows: 1, columns: u, data: x }, square, { transposeB: true });
      return parts.linalg.matmul({ rows: 1, columns: u, data: inner }, square);
    });
    return 1 / largest >= REVOKE_LIMIT;
  } catch (error) {
    if (error instanceof TensorError && error.code === 'ILL_CONDITIONED') return false;
    throw error;
  }
}

/** The largest power of two c with c² λ_max(GᵀAG) ≤ {@link FOREIGN_SHARE}. */
function scaleFor(linalg: RlsParts['linalg'], gram: Float64Array, u: number): number {
  const matrix = { rows: u, columns: u, data: gram };
  const largest = largestEigenvalue(u, (x) => linalg.matmul({ rows: 1, columns: u, data: x }, matrix));
  if (!(largest > 0)) return 1;
  return 2 ** Math.floor(Math.log2(Math.sqrt(FOREIGN_SHARE / largest)));
}

function scaledBy(columns: Columns64, factor: number): Columns64 {
  return { ...columns, data: columns.data.map((x) => x * factor) };
}
