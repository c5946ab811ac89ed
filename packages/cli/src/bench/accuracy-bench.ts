import { type ColumnPosition, createInverse, createState, type LayerState, type RlsParts } from '@errata/rls';
import { createEngine, createMatrixEngine, type Precision } from '@errata/tensor';
import { type AccuracyKeys, accuracyKeys, type KeyOrigin } from './accuracy-keys.js';
import { appendUpdate, applyAll, layerOf, pick, type StreamColumns, withState } from './accuracy-state.js';
import { choosePrecision } from './bench-engine.js';
import { type ClosedLayer, closedLayer, informationStart, relativeError } from './closed-form.js';
import { type Provenance, provenance } from './machine.js';
import type { AccuracyOptions } from './options.js';
import { createRandom } from './random.js';

const LAMBDA = 0.1;
/** w, the weight of the covariance that the presets use. */
const COVARIANCE_WEIGHT = 1000;
const REVOCATION = { edits: 1000, revoked: 100 };

/** Relative Frobenius errors of W − W₀ and of C. */
export interface LayerErrors {
  readonly weightError: number;
  readonly covarianceError: number;
}

/** Result of `bench rls --accuracy`. */
export interface AccuracyReport extends Provenance, LayerErrors {
  readonly keys: string;
  readonly engine: string;
  readonly precision: Precision;
  readonly dIn: number;
  readonly dOut: number;
  readonly batch: number;
  readonly edits: number;
  readonly seed: number;
  readonly condition: number;
  readonly revocation: {
    readonly edits: number;
    readonly revoked: number;
    /** Against a state in which the revoked edits were never applied. */
    readonly neverApplied: LayerErrors;
    /** Against the closed form of the others. */
    readonly closedForm: LayerErrors;
  };
}

/** Compares long streams, and revocations, with the closed form in fp64. */
export async function benchAccuracy(
  options: AccuracyOptions,
  origin: KeyOrigin,
  signal: AbortSignal,
): Promise<AccuracyReport> {
  const host = await createEngine(options.engine === 'wasm' ? { prefer: 'wasm' } : {});
  const given = await accuracyKeys(host, options, origin);
  const parts: RlsParts = {
    engine: await createMatrixEngine({ prefer: options.engine }),
    linalg: host.linalg,
  };
  const { dimension, moment } = given;
  const precision = choosePrecision(options.precision, dimension, parts.engine);
  const source = { lambda: LAMBDA, mu: 1, covarianceWeight: COVARIANCE_WEIGHT, moment, dimension };
  const inverse = await createInverse(parts, source, { precision, signal });
  try {
    const a0 = informationStart(moment, dimension, LAMBDA, COVARIANCE_WEIGHT);
    const columns = columnsOf(given, options);
    const wanted = (of: StreamColumns) => closedLayer(parts.linalg, a0, of.keys, of.targets);
    const applied = async (of: StreamColumns) => {
      const state = await createState(parts, inverse, { outputs: options.dOut });
      await applyAll(state, of, options.batch, signal, (done) =>
        origin.onProgress(`${done} of ${of.keys.count} edits applied`),
      );
      return state;
    };
    const errors = await withState(await applied(columns), async (state) =>
      errorsOf(await layerOf(state), wanted(columns)),
    );
    const revocation = await revocationErrors(columns, options, applied, wanted);
    return {
      ...errors,
      keys: given.origin,
      engine: parts.engine.name,
      precision,
      dIn: dimension,
      dOut: options.dOut,
      batch: options.batch,
      edits: options.edits,
      seed: options.seed,
      condition: inverse.condition,
      revocation,
      ...(await provenance()),
    };
  } finally {
    inverse.dispose();
    await parts.engine.dispose();
  }
}

async function revocationErrors(
  columns: StreamColumns,
  options: AccuracyOptions,
  applied: (of: StreamColumns) => Promise<LayerState>,
  wanted: (of: StreamColumns) => ClosedLayer,
): Promise<AccuracyReport['revocation']> {
  const edits = Math.min(REVOCATION.edits, columns.keys.count);
  const revoked = Math.min(REVOCATION.revoked, edits - 1);
  const random = createRandom(options.seed + 2);
  const order = Array.from({ length: edits }, (_, i) => i);
  for (let i = 0; i < revoked; i++) {
    const j = i + random.integer(edits - i);
    [order[i], order[j]] = [order[j], order[i]];
  }
  const gone = order.slice(0, revoked).sort((a, b) => a - b);
  const kept = order.slice(revoked).sort((a, b) => a - b);
  const survivors = pick(columns, kept);
  const never = await withState(await applied(survivors), layerOf);
  const first = pick(
    columns,
    Array.from({ length: edits }, (_, i) => i),
  );
  const { batch } = options;
  const after = await withState(await applied(first), async (state) => {
    const positions = gone.map((i): ColumnPosition => ({ seq: 1 + Math.floor(i / batch), column: i % batch }));
    for (let at = 0; at < positions.length; at += batch)
      await appendUpdate(state, 1 + state.segments.length, await state.revoke(positions.slice(at, at + batch)));
    return layerOf(state);
  });
  return {
    edits,
    revoked,
    neverApplied: errorsOf(after, never),
    closedForm: errorsOf(after, wanted(survivors)),
  };
}

function columnsOf({ keys, dimension }: AccuracyKeys, { edits, dOut, seed }: AccuracyOptions): StreamColumns {
  const random = createRandom(seed + 3);
  const scale = 1 / Math.sqrt(dOut);
  return {
    keys: { length: dimension, count: edits, data: Float64Array.from(keys.subarray(0, dimension * edits)) },
    targets: {
      length: dOut,
      count: edits,
      data: Float64Array.from({ length: dOut * edits }, () => scale * random.normal()),
    },
  };
}

function errorsOf(actual: ClosedLayer, expected: ClosedLayer): LayerErrors {
  return {
    weightError: relativeError(actual.delta, expected.delta),
    covarianceError: relativeError(actual.c, expected.c),
  };
}
