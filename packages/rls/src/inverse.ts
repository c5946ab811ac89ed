import {
  type InvertOptions,
  inversionBytes,
  invertSymmetric,
  largestEigenvalue,
  largestEigenvalueAsync,
  type MatrixEngine,
  type Precision,
  type Share,
  type SymmetricInverse,
  type SymmetricMatrix,
  TensorError,
} from '@errata/tensor';
import type { InverseSource } from './anchor.js';
import {
  type AnchorMatrix,
  type AnchorSource,
  anchorMatrix,
  anchorSource,
  completePanel,
  roundedTo,
} from './anchor.js';
import { RlsError } from './errors.js';
import { fixedStart, lanczosSpectrum } from './lanczos.js';
import { panelsTimes } from './panel-products.js';
import type { RlsParts } from './parts.js';

/**
 * Largest condition number of A₀ that is worked with. fp64 inversion loses cond · 2⁻⁵³ of relative accuracy; beyond this
 * the promised 1e-5 would not hold with a margin of ten.
 */
export const CONDITION_LIMIT = 1e10;
/**
 * Largest mean condition number tr(A₀) / (d λ_min) with which fp32 is chosen: it is what rounding C to fp32 is magnified
 * by in kᵀCk of a key like those of the anchor. At 20, W is within 1e-5 of the closed form after two columns an input
 * (`tools/precision-limit.mjs`).
 */
export const FP32_CONDITION_LIMIT = 20;
/** The same where fp32 is asked for, or the engine has nothing else: W is within about 3e-4. Beyond it is refused. */
export const FP32_REFUSAL_LIMIT = 1e3;
/** Up to this dimension fp64 is always used: C takes no more than 64 MB. */
const FP64_DIMENSION = 4096;
/** Lanczos steps where each reads the inverse from the host: λ_min to about 1 %. */
const SHARE_STEPS = 24;
/** λ_max by Lanczos is from below, by 1e-4 at most; a raised λ must satisfy the limit all the same. */
const RAISE_MARGIN = 1.01;
/**
 * How far below 0 the eigenvalues of a second moment M in fp32 can lie, as a share of tr M: rounding its entries moves them
 * by 2⁻²⁴ ‖M‖_F ≤ 2⁻²⁴ tr M, and so does each addition of the blocked sums behind them, of which there are a few.
 */
const FP32_INDEFINITE = 8 * 2 ** -24;

export type ConditionPolicy = 'refuse' | 'raise-lambda';

export interface InverseOptions {
  /** `auto` (default): fp64 up to d = 4096 and where the conditioning demands it, else fp32. */
  readonly precision?: 'auto' | Precision;
  /** What happens where A₀ is too ill-conditioned; `refuse` by default. */
  readonly policy?: ConditionPolicy;
  /** Which panels of C₀ and A₀ are held; all by default. */
  readonly share?: Share;
  /** Folder for the panels of the inverse while it is computed; d²/2 doubles in memory by default. */
  readonly scratch?: string;
  /** Bytes that they may take in memory: the folder is used, if there is one, only where they need more. */
  readonly memoryBytes?: number;
  readonly signal?: AbortSignal;
  onProgress?(done: number, total: number): void;
}

/** The start of the recursion, shared by all streams with the same anchor. Owned by its creator until `dispose`. */
export interface InverseCovariance {
  readonly dimension: number;
  /** λ in effect. */
  readonly lambda: number;
  /** λ asked for: less than `lambda` where the policy raised it. */
  readonly requestedLambda: number;
  readonly mu: number;
  /** Storage of C₀, and of the states made from it. */
  readonly precision: Precision;
  readonly share: Share;
  /** A₀, d × d. */
  readonly a0: AnchorMatrix;
  /** C₀ = A₀⁻¹, d × d, inverted in fp64. */
  readonly c0: SymmetricMatrix;
  /** λ_min(A₀), by Lanczos: from above, within about 1e-4, or 1 % for a share. */
  readonly lambdaMin: number;
  readonly lambdaMax: number;
  /** λ_max(A₀) / λ_min(A₀) */
  readonly condition: number;
  /** tr(A₀) / (d λ_min(A₀)): decides whether fp32 is enough. */
  readonly meanCondition: number;
  /** tr C₀, of all shares. */
  readonly trace: number;
  readonly bytes: number;
  dispose(): void;
}

const WHOLE: Share = { index: 0, count: 1 };

function candidates(engine: MatrixEngine, wanted: 'auto' | Precision, dimension: number): readonly Precision[] {
  if (wanted !== 'auto') {
    if (engine.precisions.includes(wanted)) return [wanted];
    throw new RlsError('INVALID_TENSOR', `${wanted} was asked for, but ${engine.name} computes ${engine.precisions}`);
  }
  if (!engine.precisions.includes('fp64')) return ['fp32'];
  return dimension <= FP64_DIMENSION || !engine.precisions.includes('fp32') ? ['fp64'] : ['fp32', 'fp64'];
}

/** Why A₀ is too ill-conditioned for a precision; null where it is not. */
function objection(precision: Precision, condition: number, meanCondition: number): string | null {
  const over = (what: string, value: number, limit: number) =>
    `λ²I + μ²K₀K₀ᵀ has ${what} ${value.toExponential(1)}, above ${limit.toExponential(0)}`;
  if (!(condition <= CONDITION_LIMIT)) return over('condition number', condition, CONDITION_LIMIT);
  if (precision === 'fp32' && !(meanCondition <= FP32_REFUSAL_LIMIT))
    return `${over('mean condition number', meanCondition, FP32_REFUSAL_LIMIT)} for fp32`;
  return null;
}

async function largestOfPanels({ linalg }: RlsParts, m: SymmetricInverse): Promise<number> {
  const n = m.dimension;
  const points = await lanczosSpectrum(
    n,
    SHARE_STEPS,
    fixedStart(n),
    async (data) => (await panelsTimes(linalg, m, { length: n, count: 1, data })).data,
  );
  return points[points.length - 1].value;
}

/**
 * Least λ with two significant digits, so that all workers get the same, that satisfies the limits if no eigenvalue of
 * scale · M is below `-indefinite`.
 */
function raisedLambda(failure: Failure, lambda: number, precision: Precision, indefinite: number): number {
  const needed = (value: number, limit: number) => Math.max(0, value - lambda * lambda) / (limit - 1);
  const square = Math.max(
    needed(failure.lambdaMax, CONDITION_LIMIT),
    precision === 'fp32' ? needed(failure.mean, FP32_REFUSAL_LIMIT) : 0,
  );
  const least = Math.sqrt(RAISE_MARGIN * square + indefinite);
  const unit = 10 ** (Math.floor(Math.log10(least)) - 1);
  return Number((Math.ceil(least / unit) * unit).toPrecision(2));
}

/**
 * A₀ and its inverse in fp64, with its conditioning.
 * @throws RlsError INVALID_TENSOR; ILL_CONDITIONED when A₀ is singular or its condition number exceeds
 * {@link CONDITION_LIMIT}, or with fp32 its mean {@link FP32_REFUSAL_LIMIT}, and the policy is to refuse; TensorError
 * OUT_OF_MEMORY
 */
export async function createInverse(
  parts: RlsParts,
  source: InverseSource,
  options: InverseOptions = {},
): Promise<InverseCovariance> {
  const anchor = anchorSource(parts.linalg, source);
  const precisions = candidates(parts.engine, options.precision ?? 'auto', anchor.dimension);
  const last = precisions[precisions.length - 1];
  const attempt = { parts, anchor, precisions, mu: source.mu, requestedLambda: source.lambda, options };
  const first = await tryInverse({ ...attempt, lambda: source.lambda });
  if ('dispose' in first) return first;
  const advice = 'use a larger λ, the policy raise-lambda, or a covariance from more tokens';
  if (options.policy !== 'raise-lambda') throw new RlsError('ILL_CONDITIONED', `${first.reason}; ${advice}`);
  let reason = first.reason;
  for (const indefinite of new Set([0, first.indefinite])) {
    const lambda = raisedLambda(first, source.lambda, last, indefinite);
    const found = await tryInverse({ ...attempt, lambda });
    if ('dispose' in found) return found;
    reason = `${first.reason}, and with λ raised to ${lambda}: ${found.reason}`;
  }
  throw new RlsError('ILL_CONDITIONED', reason);
}

interface Attempt {
  readonly parts: RlsParts;
  readonly anchor: AnchorSource;
  readonly precisions: readonly Precision[];
  readonly lambda: number;
  readonly requestedLambda: number;
  readonly mu: number;
  readonly options: InverseOptions;
}

interface Failure {
  readonly reason: string;
  readonly lambdaMax: number;
  /** tr(A₀) / d */
  readonly mean: number;
  /** How far below 0 rounding can have put eigenvalues of scale · M. */
  readonly indefinite: number;
}

function traceOf(source: AnchorSource, panelRows: number): number {
  const d = source.dimension;
  let trace = 0;
  for (let first = 0; first < d; first += panelRows) {
    const { data, rows, columns } = source.panel(first, Math.min(panelRows, d - first));
    for (let i = 0; i < rows; i++) trace += data[i * columns + first + i];
  }
  return trace;
}

async function tryInverse(attempt: Attempt): Promise<InverseCovariance | Failure> {
  const { parts, precisions, lambda, options } = attempt;
  const d = attempt.anchor.dimension;
  const share = options.share ?? WHOLE;
  const rounded = roundedTo(attempt.anchor, parts.engine.precisions.includes('fp64') ? 'fp64' : 'fp32');
  const { scale } = rounded;
  const whole = share.count === 1;
  const storeAnchor = (precision: Precision) =>
    anchorMatrix(parts.engine, rounded, lambda, rounded.exact === 'fp64' ? 'fp64' : precision, share);
  const largest = (m: Pick<SymmetricMatrix, 'times'>) =>
    largestEigenvalueAsync(d, async (data) => (await m.times({ length: d, count: 1, data })).data);

  let a0 = await storeAnchor(precisions[0]);
  let c0: SymmetricMatrix | null = null;
  let inverse: SymmetricInverse | null = null;
  let kept = false;
  try {
    // A share has no product with the whole; what there is of it on the host gives the same to all shares.
    const lambdaMax = whole
      ? await largest(a0)
      : scale * largestEigenvalue(d, (x) => rounded.times(x)) + lambda * lambda;
    const trace = scale * traceOf(rounded, a0.panelRows);
    const mean = trace / d + lambda * lambda;
    const indefinite = rounded.exact === 'fp32' ? FP32_INDEFINITE * trace : 0;
    try {
      const fill = (firstRow: number, rows: number) => completePanel(rounded.panel(firstRow, rows), scale, lambda);
      inverse = await invertSymmetric(parts, { dimension: d, fill }, inversionOptions(d, options));
    } catch (error) {
      if (!(error instanceof TensorError) || error.code !== 'ILL_CONDITIONED') throw error;
      return { reason: `λ²I + μ²K₀K₀ᵀ cannot be inverted: ${error.message}`, lambdaMax, mean, indefinite };
    }
    const inverted = inverse;
    const storeInverse = (precision: Precision) =>
      parts.engine.symmetric({
        dimension: d,
        precision,
        share,
        fill: (firstRow) => inverted.panel(firstRow / inverted.panelRows),
      });
    let precision = precisions[0];
    c0 = await storeInverse(precision);
    const lambdaMin = 1 / (whole ? await largest(c0) : await largestOfPanels(parts, inverted));
    const condition = lambdaMax / lambdaMin;
    const meanCondition = mean / lambdaMin;
    const last = precisions[precisions.length - 1];
    const reason = objection(last, lambdaMin > 0 ? condition : Number.POSITIVE_INFINITY, meanCondition);
    if (reason !== null) return { reason, lambdaMax, mean, indefinite };
    if (precision !== last && meanCondition > FP32_CONDITION_LIMIT) {
      precision = last;
      a0.dispose();
      a0 = await storeAnchor(precision);
      c0.dispose();
      c0 = await storeInverse(precision);
    }
    kept = true;
    const held = [a0, c0];
    return {
      dimension: d,
      lambda,
      requestedLambda: attempt.requestedLambda,
      mu: attempt.mu,
      precision,
      share,
      a0,
      c0,
      lambdaMin,
      lambdaMax,
      condition,
      meanCondition,
      trace: inverted.trace,
      bytes: a0.bytes + c0.bytes,
      dispose() {
        for (const matrix of held) matrix.dispose();
      },
    };
  } finally {
    await inverse?.dispose();
    if (!kept) {
      a0.dispose();
      c0?.dispose();
    }
  }
}

/** Where an inversion may put its panels, and who is told of it. */
export type InversionOptions = Pick<InverseOptions, 'scratch' | 'memoryBytes' | 'signal' | 'onProgress'>;

/**
 * The options of an inversion that are those of the tensor engine.
 * @throws TensorError OUT_OF_MEMORY where the panels need more than `memoryBytes` and there is no folder
 */
export function inversionOptions(dimension: number, options: InversionOptions): InvertOptions {
  const { scratch, memoryBytes = Number.POSITIVE_INFINITY, signal, onProgress } = options;
  const needed = inversionBytes(dimension);
  const fits = needed <= memoryBytes;
  if (!fits && scratch === undefined)
    throw new TensorError(
      'OUT_OF_MEMORY',
      `an inversion of ${dimension} × ${dimension} needs ${needed} bytes, and ${memoryBytes} are left: allow more memory or a scratch folder`,
    );
  const onDisk = scratch !== undefined && (options.memoryBytes === undefined || !fits);
  return {
    ...(onDisk ? { storage: { folder: scratch } } : {}),
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined ? {} : { onProgress }),
  };
}
