import { RlsError, type RlsFixture, runFixture } from '@errata/rls';
import { createMatrixEngine } from '@errata/tensor';
import type { CheckOutcome, ConformanceContext } from './types.js';

/** Largest relative error (Frobenius) of W and C at any listed step. */
const TOLERANCE = 1e-5;
/** The same where A₀ is nearly singular: the fixture's own closed form is no better there. */
const ILL_CONDITIONED_TOLERANCE = 1e-4;
/** Condition number of A₀ from which the wider tolerance holds. */
const ILL_CONDITIONED = 1e6;

/** Checks a fixture of the recursive least squares; what is refused by name passes. */
export async function checkRls(json: unknown, context: ConformanceContext): Promise<CheckOutcome> {
  const fixture = json as RlsFixture;
  const { linalg } = context.engine;
  const engine = await createMatrixEngine({ prefer: context.engine.name });
  const parts = { engine, linalg };
  try {
    const { cases, maxRelError, condition } = await runFixture(parts, fixture);
    const tolerance = condition > ILL_CONDITIONED ? ILL_CONDITIONED_TOLERANCE : TOLERANCE;
    return { cases, maxRelError, pass: cases > 0 && maxRelError <= tolerance };
  } catch (error) {
    if (error instanceof RlsError && error.code === 'ILL_CONDITIONED')
      return { cases: 0, pass: true, refused: `${error.code}: ${error.message}` };
    throw error;
  } finally {
    await engine.dispose();
  }
}
