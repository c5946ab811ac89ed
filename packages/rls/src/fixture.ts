import { addInto, asRows, norm } from './columns.js';
import { createState } from './create-state.js';
import { RlsError } from './errors.js';
import { createInverse, type InverseOptions } from './inverse.js';
import type { LayerState } from './layer-state.js';
import type { Columns64 } from './notation.js';
import { squareOf } from './panel-products.js';
import type { RlsParts } from './parts.js';
import { startingDelta } from './starting-delta.js';
import type { StateOptions } from './state-options.js';

type Rows = readonly (readonly number[])[];

/** Golden values of the algebra: matrices as lists of rows, the fp64 closed form after the steps named by the keys. */
export interface RlsFixture {
  readonly d: number;
  readonly dout: number;
  readonly lambda_: number;
  readonly mu: number;
  readonly W0: Rows;
  readonly K0: Rows;
  readonly V0: Rows;
  readonly K: readonly Rows[];
  readonly V: readonly Rows[];
  readonly W: Readonly<Record<string, Rows>>;
  readonly C: Readonly<Record<string, Rows>>;
}

function matrix(what: string, rows: Rows, height: number, width: number): Float64Array {
  if (!Array.isArray(rows) || rows.length !== height || rows.some((row) => row?.length !== width))
    throw new RlsError('INVALID_TENSOR', `${what} is not the ${height} × ${width} matrix it should be`);
  const values = rows.flat();
  if (!values.every((value) => typeof value === 'number' && Number.isFinite(value)))
    throw new RlsError('INVALID_TENSOR', `${what} holds something that is not a finite number`);
  return Float64Array.from(values);
}

function columns(what: string, rows: Rows, length: number, count: number): Columns64 {
  const rowMajor = matrix(what, rows, length, count);
  const data = new Float64Array(rowMajor.length);
  for (let i = 0; i < length; i++) for (let j = 0; j < count; j++) data[j * length + i] = rowMajor[i * count + j];
  return { length, count, data };
}

function relative(actual: Float64Array, expected: Float64Array): number {
  const error = norm(actual.map((x, i) => x - expected[i]));
  return error === 0 ? 0 : error / norm(expected);
}

/**
 * Runs the recursion over a fixture and compares W and C with the closed form at every step it lists.
 * @returns the largest relative Frobenius error, and the condition number of A₀
 * @throws RlsError as {@link createInverse} and {@link LayerState} do
 */
export async function runFixture(
  parts: RlsParts,
  fixture: RlsFixture,
  options: Pick<InverseOptions, 'precision' | 'policy'> & Pick<StateOptions, 'foldRank'> = {},
): Promise<{ cases: number; maxRelError: number; condition: number }> {
  const { linalg } = parts;
  const { d, dout } = fixture;
  const anchors = fixture.K0?.[0]?.length ?? 0;
  const anchorKeys = columns('K0', fixture.K0, d, anchors);
  const anchorValues = columns('V0', fixture.V0, dout, anchors);
  const weights = { rows: dout, columns: d, data: matrix('W0', fixture.W0, dout, d) };
  const inverse = await createInverse(parts, { lambda: fixture.lambda_, mu: fixture.mu, anchorKeys }, options);
  let state: LayerState | null = null;
  try {
    const missed = linalg.matmul(asRows(anchorKeys), weights, { transposeB: true });
    const anchorResidual = { ...anchorValues, data: addInto(anchorValues.data.slice(), missed, -1) };
    const anchor = await startingDelta(inverse, anchorKeys, anchorResidual);
    state = await createState(parts, inverse, {
      outputs: dout,
      anchor,
      // Not the measured choice: a fixture has the same result everywhere.
      foldRank: options.foldRank ?? Math.max(32, d / 2),
    });
    const running = state;
    let cases = 0;
    let maxRelError = 0;
    const compare = async (step: number) => {
      const w = fixture.W[step];
      const c = fixture.C[step];
      const errors: number[] = [];
      if (w) {
        const present = addInto(await running.deltaRows(0, dout), weights.data);
        errors.push(relative(present, matrix(`W[${step}]`, w, dout, d)));
      }
      if (c) errors.push(relative(await squareOf(d, running.inversePanels()), matrix(`C[${step}]`, c, d, d)));
      cases += errors.length;
      for (const error of errors) maxRelError = Number.isNaN(error) ? Number.NaN : Math.max(maxRelError, error);
    };
    await compare(0);
    for (const [i, rows] of fixture.K.entries()) {
      const u = rows[0]?.length ?? 0;
      const keys = columns(`K[${i}]`, rows, d, u);
      const values = columns(`V[${i}]`, fixture.V[i], dout, u);
      const residual = addInto(values.data.slice(), (await state.deltaTimes(keys)).data, -1);
      addInto(residual, linalg.matmul(asRows(keys), weights, { transposeB: true }), -1);
      const update = await state.apply(keys, { ...values, data: residual });
      await state.append({ seq: i + 1, ...update });
      await compare(i + 1);
    }
    return { cases, maxRelError, condition: inverse.condition };
  } finally {
    state?.dispose();
    inverse.dispose();
  }
}
