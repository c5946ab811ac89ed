import type { LinearAlgebra } from '@errata/tensor';
import { addInto, asRows, norm } from './columns.js';
import { RlsError } from './errors.js';
import { FactoredState } from './factored-state.js';
import { createInverse, startingWeights } from './inverse.js';
import type { Columns64 } from './notation.js';

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
 * @throws RlsError as {@link createInverse} and {@link FactoredState} do
 */
export function runFixture(
  linalg: LinearAlgebra,
  fixture: RlsFixture,
): { cases: number; maxRelError: number; condition: number } {
  const { d, dout } = fixture;
  const anchors = fixture.K0?.[0]?.length ?? 0;
  const anchorKeys = columns('K0', fixture.K0, d, anchors);
  const anchorValues = columns('V0', fixture.V0, dout, anchors);
  const inverse = createInverse(linalg, { lambda: fixture.lambda_, mu: fixture.mu, anchorKeys });
  const state = new FactoredState(linalg, inverse, dout);
  try {
    const start = startingWeights(linalg, inverse, matrix('W0', fixture.W0, dout, d), anchorKeys, anchorValues);
    let cases = 0;
    let maxRelError = 0;
    const compare = (step: number) => {
      const w = fixture.W[step];
      const c = fixture.C[step];
      const errors = [
        ...(w ? [relative(addInto(state.delta(), start), matrix(`W[${step}]`, w, dout, d))] : []),
        ...(c ? [relative(state.inverseCovariance(), matrix(`C[${step}]`, c, d, d))] : []),
      ];
      cases += errors.length;
      for (const error of errors) maxRelError = Number.isNaN(error) ? Number.NaN : Math.max(maxRelError, error);
    };
    compare(0);
    fixture.K.forEach((rows, i) => {
      const u = rows[0]?.length ?? 0;
      const keys = columns(`K[${i}]`, rows, d, u);
      const values = columns(`V[${i}]`, fixture.V[i], dout, u);
      const residual = addInto(values.data.slice(), state.deltaTimes(keys).data, -1);
      const base = { rows: dout, columns: d, data: start };
      addInto(residual, linalg.matmul(asRows(keys), base, { transposeB: true }), -1);
      const update = state.apply(keys, { ...values, data: residual });
      state.append({ seq: i + 1, ...update });
      compare(i + 1);
    });
    return { cases, maxRelError, condition: inverse.condition };
  } finally {
    state.dispose();
    inverse.dispose();
  }
}
