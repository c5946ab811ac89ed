import { type Precision, symmetricEigenvalues } from '@errata/tensor';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { norm } from './columns.js';
import { createState } from './create-state.js';
import { RlsError } from './errors.js';
import type { LayerState } from './layer-state.js';
import type { ColumnPosition, Columns64, Segment, Update } from './notation.js';
import type { RlsParts } from './parts.js';
import {
  availableParts,
  deltaOf,
  difference,
  inverseCovarianceOf,
  inverseOf,
  random,
  recorded,
  tolerances,
} from './testing/states.js';
import { closedForm } from './verify.js';
import { forgettingWeight } from './weights.js';

let engines: readonly RlsParts[];
beforeAll(async () => {
  engines = await availableParts();
});
afterAll(async () => {
  for (const { engine } of engines) await engine.dispose();
});

const SEED = Number(process.env.ERRATA_PROPERTY_SEED ?? 20260115);
console.info(`property seed ${SEED}`);

async function expectClosedForm(parts: RlsParts, state: LayerState, scale: number): Promise<void> {
  const { w, c } = tolerances[state.precision];
  const { keys, baseResidual } = state.survivors();
  const expected = await closedForm(parts.linalg, state.inverse, keys, baseResidual);
  expect(difference(await deltaOf(state), expected.delta)).toBeLessThanOrEqual(w * (norm(expected.delta) + scale));
  const actual = await inverseCovarianceOf(state);
  expect(difference(actual, expected.c)).toBeLessThanOrEqual(c * norm(expected.c));
  expect(symmetricEigenvalues(actual, state.inputs)[0]).toBeGreaterThan(0);
  // Throws where the matrix is not positive definite.
  parts.linalg.cholesky(actual, state.inputs);
}

/** Scale of keys that can hardly be taken out again: S up to 1e4 in fp64, 50 in fp32. */
const hardness: Record<Precision, number> = { fp64: 40, fp32: 3 };

const picks = fc.array(fc.nat(1000), { minLength: 1, maxLength: 3 });
const action = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('apply' as const),
      u: fc.integer({ min: 1, max: 5 }),
      seed: fc.integer({ min: 1, max: 1e6 }),
      repeat: fc.boolean(),
      hard: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('revoke' as const), picks }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('revoke-batch' as const), pick: fc.nat(1000) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('supersede' as const), picks, seed: fc.integer({ min: 1, max: 1e6 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('truncate' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'fold' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'refresh' as const }) },
);
type Action = typeof action extends fc.Arbitrary<infer A> ? A : never;

/** A state with the log that leads to it, and which columns are in the weights after each record. */
class Stream {
  readonly log: Segment[] = [];
  readonly live: ColumnPosition[][] = [[]];
  #seq = 0;

  constructor(
    readonly state: LayerState,
    readonly dout: number,
  ) {}

  get now(): readonly ColumnPosition[] {
    return this.live[this.live.length - 1];
  }

  async append(update: Update, taken: readonly ColumnPosition[] = []): Promise<void> {
    const seq = ++this.#seq;
    const segment = recorded(seq, update);
    await this.state.append(segment);
    this.log.push(segment);
    const put = update.sign > 0 ? update.keys.count : 0;
    const left = this.now.filter((p) => !taken.some((t) => t.seq === p.seq && t.column === p.column));
    this.live.push([...left, ...Array.from({ length: put }, (_, column) => ({ seq, column }))]);
  }

  async run(action: Action): Promise<void> {
    const { state, dout, now } = this;
    const some = (list: readonly number[]) => [...new Set(list.map((p) => p % now.length))].map((i) => now[i]);
    switch (action.kind) {
      case 'apply': {
        // A repeated key is what a corrected correction looks like; a hard one can hardly be taken out again.
        const scale = action.hard ? hardness[state.precision] : 1;
        const repeat = action.repeat && this.log.length > 0;
        const first = repeat ? this.log[0].keys : undefined;
        const keys = first ?? random(state.inputs, action.u, action.seed, scale);
        return this.append(await state.apply(keys, random(dout, keys.count, action.seed + 1, 3)));
      }
      case 'revoke':
      case 'revoke-batch': {
        if (now.length === 0) return;
        const { seq } = now[(action.kind === 'revoke' ? 0 : action.pick) % now.length];
        const taken = action.kind === 'revoke' ? some(action.picks) : now.filter((p) => p.seq === seq);
        return this.append(await state.revoke(taken), taken);
      }
      case 'supersede': {
        if (now.length === 0) return;
        const taken = some(action.picks);
        const keys = random(state.inputs, 2, action.seed);
        const [out, put] = await state.supersede(taken, keys, random(dout, 2, action.seed + 1, 3));
        await this.append(out, taken);
        return this.append(put);
      }
      case 'truncate': {
        const keep = Math.floor(action.share * this.log.length);
        await state.truncate(keep);
        this.log.length = keep;
        this.live.length = keep + 1;
        return;
      }
      case 'fold':
        return state.fold();
      case 'refresh':
        await state.refresh();
        return;
      default: {
        const never: never = action;
        throw new Error(String(never));
      }
    }
  }
}

const inOrder = (positions: readonly ColumnPosition[]) =>
  positions.map((p) => p.seq * 1000 + p.column).sort((a, b) => a - b);

describe.each<Precision>(['fp64', 'fp32'])('%s: any sequence of actions', (precision) => {
  it('equals the closed form of the columns that survive, C positive definite throughout', async () => {
    for (const parts of engines)
      await fc.assert(
        fc.asyncProperty(
          fc.array(action, { minLength: 1, maxLength: 16 }),
          fc.integer({ min: 2, max: 24 }),
          fc.integer({ min: 1, max: 8 }),
          fc.constantFrom(1, 8, Number.POSITIVE_INFINITY),
          async (list, d, dout, foldRank) => {
            const inverse = await inverseOf(parts, d, { precision });
            const state = await createState(parts, inverse, { outputs: dout, foldRank });
            const stream = new Stream(state, dout);
            let largest = 0;
            for (const next of list) {
              await stream.run(next);
              largest = Math.max(largest, norm(await deltaOf(state)));
              expect(inOrder(state.survivors().positions)).toEqual(inOrder(stream.now));
              await expectClosedForm(parts, state, largest);
            }
            state.dispose();
            inverse.dispose();
          },
        ),
        { numRuns: 60, seed: SEED },
      );
  });
});

describe('a state rebuilt from its log', () => {
  it('is bit for bit the lost one in fp64, and equal to rounding in fp32', async () => {
    const plain = fc.array(
      action.filter(({ kind }) => kind !== 'fold' && kind !== 'refresh'),
      { minLength: 1, maxLength: 16 },
    );
    for (const parts of engines)
      for (const precision of ['fp64', 'fp32'] as const)
        await fc.assert(
          fc.asyncProperty(
            plain,
            fc.integer({ min: 2, max: 24 }),
            fc.constantFrom(1, 8, 1e6),
            async (list, d, foldRank) => {
              const inverse = await inverseOf(parts, d, { precision });
              const options = { outputs: 3, foldRank };
              const [state, replayed] = [
                await createState(parts, inverse, options),
                await createState(parts, inverse, options),
              ];
              const stream = new Stream(state, 3);
              for (const next of list) await stream.run(next);
              for (const segment of stream.log) await replayed.append(segment);
              expect(await deltaOf(replayed)).toEqual(await deltaOf(state));
              expect(await inverseCovarianceOf(replayed)).toEqual(await inverseCovarianceOf(state));
              for (const owned of [replayed, state, inverse]) owned.dispose();
            },
          ),
          { numRuns: 25, seed: SEED },
        );
  });
});

describe('operations that commute', () => {
  const batch = fc.record({ u: fc.integer({ min: 1, max: 4 }), seed: fc.integer({ min: 1, max: 1e6 }) });
  it.each<Precision>(['fp64', 'fp32'])(
    '%s: two applies in either order, two revokes in either order',
    async (precision) => {
      for (const parts of engines)
        await fc.assert(
          fc.asyncProperty(batch, batch, fc.integer({ min: 2, max: 24 }), async (a, b, d) => {
            fc.pre(a.seed !== b.seed);
            const inverse = await inverseOf(parts, d, { precision });
            const results = [];
            for (const order of [
              [a, b],
              [b, a],
            ]) {
              const state = await createState(parts, inverse, { outputs: 4 });
              const seqOf = new Map(order.map((which, i) => [which, i + 1]));
              for (const { u, seed } of order) {
                const keys = random(d, u, seed);
                // The value is what is asked for; the residual depends on the weights at the time.
                const values = random(4, u, seed + 1, 3);
                const moved = (await state.deltaTimes(keys)).data;
                const residual = { ...values, data: values.data.map((x, i) => x - moved[i]) };
                await state.append(recorded(state.segments.length + 1, await state.apply(keys, residual)));
              }
              const applied = [await deltaOf(state), await inverseCovarianceOf(state)] as const;
              for (const which of [a, b]) {
                const seq = seqOf.get(order === undefined ? a : which) as number;
                const all = Array.from({ length: which.u }, (_, column) => ({ seq, column }));
                await state.append(recorded(10 + seq, await state.revoke(all)));
              }
              results.push({ applied, revoked: [await deltaOf(state), await inverseCovarianceOf(state)] as const });
              state.dispose();
            }
            const { w, c } = tolerances[precision];
            const size = norm(results[0].applied[0]);
            for (const phase of ['applied', 'revoked'] as const) {
              expect(difference(results[0][phase][0], results[1][phase][0])).toBeLessThanOrEqual(w * size);
              expect(difference(results[0][phase][1], results[1][phase][1])).toBeLessThanOrEqual(
                c * norm(results[0][phase][1]),
              );
            }
            inverse.dispose();
          }),
          { numRuns: 50, seed: SEED },
        );
    },
  );
});

describe('weights', () => {
  it('ω = n equals the same column n times', async () => {
    for (const parts of engines)
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 2, max: 4 }),
          fc.integer({ min: 1, max: 1e6 }),
          fc.integer({ min: 2, max: 20 }),
          async (n, seed, d) => {
            const inverse = await inverseOf(parts, d);
            const [once, often] = [
              await createState(parts, inverse, { outputs: 3 }),
              await createState(parts, inverse, { outputs: 3 }),
            ];
            const keys = random(d, 2, seed);
            const residual = random(3, 2, seed + 1);
            await once.append({ seq: 1, ...(await once.apply(keys, residual, { weights: [n, 1] })) });
            const pick = (c: Columns64) => {
              const first = c.data.subarray(0, c.length);
              return {
                length: c.length,
                count: n + 1,
                data: Float64Array.from([
                  ...Array.from({ length: n }, () => [...first]).flat(),
                  ...c.data.subarray(c.length),
                ]),
              };
            };
            await often.append({ seq: 1, ...(await often.apply(pick(keys), pick(residual))) });
            const size = norm(await deltaOf(often));
            expect(difference(await deltaOf(once), await deltaOf(often))).toBeLessThan(1e-6 * size);
            const c = await inverseCovarianceOf(often);
            expect(difference(await inverseCovarianceOf(once), c)).toBeLessThan(1e-6 * norm(c));
            for (const owned of [once, often, inverse]) owned.dispose();
          },
        ),
        { numRuns: 50, seed: SEED },
      );
  });

  it('γ^(−t) minimises the objective that forgets by γ every step', async () => {
    for (const parts of engines)
      await fc.assert(
        fc.asyncProperty(
          fc.double({ min: 0.5, max: 1, noNaN: true }),
          fc.integer({ min: 1, max: 8 }),
          fc.integer({ min: 1, max: 1e5 }),
          async (gamma, steps, seed) => {
            const d = 9;
            const dout = 3;
            const inverse = await inverseOf(parts, d);
            const state = await createState(parts, inverse, { outputs: dout });
            // Normal equations of Σ γ^(T−t) ‖Δ kₜ − vₜ‖² + γ^T tr(Δ A₀ Δᵀ), multiplied out term by term.
            const anchors = random(d, 2 * d, 77);
            const a = new Float64Array(d * d);
            const cross = new Float64Array(dout * d);
            const addTerm = (key: Float64Array, value: Float64Array | null, weight: number) => {
              for (let i = 0; i < d; i++) for (let j = 0; j < d; j++) a[i * d + j] += weight * key[i] * key[j];
              if (value !== null)
                for (let o = 0; o < dout; o++)
                  for (let j = 0; j < d; j++) cross[o * d + j] += weight * value[o] * key[j];
            };
            const old = gamma ** steps;
            for (let i = 0; i < d; i++) a[i * d + i] += old * 0.4 ** 2;
            for (let n = 0; n < 2 * d; n++) addTerm(anchors.data.subarray(n * d, (n + 1) * d), null, old * 0.8 ** 2);
            for (let t = 1; t <= steps; t++) {
              const keys = random(d, 1, seed + t);
              const values = random(dout, 1, seed + 100 + t);
              addTerm(keys.data, values.data, gamma ** (steps - t));
              const moved = (await state.deltaTimes(keys)).data;
              const residual = { ...values, data: values.data.map((x, i) => x - moved[i]) };
              await state.append({
                seq: t,
                ...(await state.apply(keys, residual, { weights: [forgettingWeight(gamma, t)] })),
              });
            }
            const delta = await deltaOf(state);
            const product = parts.linalg.matmul(
              { rows: dout, columns: d, data: delta },
              { rows: d, columns: d, data: a },
            );
            expect(difference(product, cross)).toBeLessThan(1e-5 * norm(cross));
            for (const owned of [state, inverse]) owned.dispose();
          },
        ),
        { numRuns: 50, seed: SEED },
      );
  });

  it('refuses by name what would drown the rest', () => {
    expect(() => forgettingWeight(0.5, 40)).toThrowError(RlsError);
    expect(forgettingWeight(0.5, 3, 2)).toBe(16);
  });
});
