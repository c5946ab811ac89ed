import { createHash } from 'node:crypto';
import { ErrataError } from '@errata/contracts';
import type pg from 'pg';
import { float64Array, float64ArrayBytes } from './bytes.js';
import { covarianceId } from './covariances.js';
import type { Database } from './database.js';
import { assertStorable } from './text.js';
import type { CovarianceRun, Matrix, Store } from './types.js';

/** Numbers of a row of the table: 4 MB, so that neither side ever holds more of a sum than that. */
const CHUNK_NUMBERS = 512 * 1024;

/** Runs that would add other slices in another order have other keys. */
function keyOf({ modelId, source, corpusId, tokens, slices, dimension }: CovarianceRun): string {
  return createHash('sha256')
    .update(JSON.stringify([modelId, source, corpusId, tokens, slices, dimension]))
    .digest('hex');
}

function packedLength(dimension: number): number {
  return (dimension * (dimension + 1)) / 2;
}

/** Adds `weight` times a slice's mean to the stored sum, a chunk at a time. */
async function addToChunks(
  client: pg.PoolClient,
  place: readonly [string, number],
  mean: Float32Array,
  weight: number,
): Promise<void> {
  for (let index = 0; index * CHUNK_NUMBERS < mean.length; index++) {
    const values = mean.subarray(index * CHUNK_NUMBERS, (index + 1) * CHUNK_NUMBERS);
    const found = await client.query<{ data: Buffer }>(
      'SELECT data FROM covariance_partial_chunks WHERE key = $1 AND layer = $2 AND index = $3',
      [...place, index],
    );
    const sum = found.rows[0] ? float64Array(found.rows[0].data) : new Float64Array(values.length);
    for (let i = 0; i < sum.length; i++) sum[i] += weight * values[i];
    await client.query(
      `INSERT INTO covariance_partial_chunks (key, layer, index, data) VALUES ($1, $2, $3, $4)
       ON CONFLICT (key, layer, index) DO UPDATE SET data = EXCLUDED.data`,
      [...place, index, float64ArrayBytes(sum)],
    );
  }
}

/** The symmetric matrix of the means, out of the packed sums. */
async function readMean(db: Database, key: string, layer: number, dimension: number, tokens: number): Promise<Matrix> {
  const data = new Float32Array(dimension * dimension);
  let row = 0;
  let column = 0;
  let count = 0;
  const query = `SELECT data FROM covariance_partial_chunks WHERE key = '${key}' AND layer = ${layer} ORDER BY index`;
  for await (const [chunk] of db.copyOut(query)) {
    const sums = float64Array(chunk ?? Buffer.alloc(0));
    count += sums.length;
    for (let i = 0; i < sums.length && row < dimension; i++) {
      const value = sums[i] / tokens;
      data[row * dimension + column] = value;
      data[column * dimension + row] = value;
      if (++column > row) {
        row++;
        column = 0;
      }
    }
  }
  if (count !== packedLength(dimension))
    throw new ErrataError('LOG_CORRUPT', `the partial sums ${key} of layer ${layer} hold ${count} numbers`);
  return { rows: dimension, columns: dimension, data };
}

export function covariancePartialRecords(
  db: Database,
  saveCovariance: Store['saveCovariance'],
): Pick<Store, 'covarianceSlices' | 'addCovarianceSlice' | 'finishCovariance'> {
  const stored = async (run: CovarianceRun, layer: number) =>
    db.prisma.covariance.findUnique({ where: { id: covarianceId({ ...run, layer }) }, select: { id: true } });

  return {
    async covarianceSlices(run, layers) {
      const key = keyOf(run);
      const rows = await db.prisma.covariancePartial.findMany({ where: { key, layer: { in: [...layers] } } });
      const counts = new Map<number, number>();
      for (const layer of layers) {
        const done = (await stored(run, layer)) !== null;
        counts.set(layer, done ? run.slices : (rows.find((row) => row.layer === layer)?.slices ?? 0));
      }
      return counts;
    },

    async addCovarianceSlice(run, layer, { index, tokens, mean }) {
      assertStorable({ source: run.source, corpusId: run.corpusId });
      if (mean.length !== packedLength(run.dimension))
        throw new ErrataError(
          'INVALID_TENSOR',
          `a slice of ${mean.length} numbers is no lower triangle of ${run.dimension} rows`,
        );
      if (mean.some((value) => !Number.isFinite(value)))
        throw new ErrataError('INVALID_TENSOR', `slice ${index} of layer ${layer} holds numbers that are not finite`);
      const key = keyOf(run);
      await db.session(async (client) => {
        await client.query(
          `INSERT INTO covariance_partials (key, layer, model_id, source, dimension, slices, tokens)
           SELECT $1, $2, $3, $4, $5, 0, 0 WHERE NOT EXISTS (SELECT FROM covariances WHERE id = $6)
           ON CONFLICT DO NOTHING`,
          [key, layer, run.modelId, run.source, run.dimension, covarianceId({ ...run, layer })],
        );
        const { rows } = await client.query<{ slices: number }>(
          'SELECT slices FROM covariance_partials WHERE key = $1 AND layer = $2 FOR UPDATE',
          [key, layer],
        );
        // Without a row the covariance is stored already.
        const slices = rows[0]?.slices ?? run.slices;
        if (slices > index) return;
        if (slices < index)
          throw new ErrataError('SEQUENCE_GAP', `layer ${layer} has ${slices} slices, slice ${index} cannot be added`);
        await addToChunks(client, [key, layer], mean, tokens);
        await client.query(
          `UPDATE covariance_partials SET slices = slices + 1, tokens = tokens + $3, updated_at = now()
           WHERE key = $1 AND layer = $2`,
          [key, layer, tokens],
        );
      });
    },

    async finishCovariance(run, layer) {
      const key = keyOf(run);
      const where = { key_layer: { key, layer } };
      const partial = await db.prisma.covariancePartial.findUnique({ where });
      const { modelId, corpusId, source, tokens, dimension } = run;
      if (partial && !(await stored(run, layer))) {
        if (partial.slices !== run.slices)
          throw new ErrataError('SEQUENCE_GAP', `layer ${layer} has ${partial.slices} of ${run.slices} slices`);
        if (partial.tokens !== tokens)
          throw new ErrataError(
            'INTERNAL',
            `the slices of layer ${layer} hold ${partial.tokens} tokens, the plan said ${tokens}`,
          );
        const moment = await readMean(db, key, layer, dimension, tokens);
        await saveCovariance({ modelId, layer, corpusId, source, tokens, dimension }, moment);
      }
      const row = await db.prisma.covariance.findUnique({ where: { id: covarianceId({ ...run, layer }) } });
      if (!row) throw new ErrataError('SEQUENCE_GAP', `layer ${layer} has 0 of ${run.slices} slices`);
      await db.prisma.covariancePartial.deleteMany({ where: { key, layer } });
      return { id: row.id, modelId, layer, corpusId, source: row.source, tokens, dimension };
    },
  };
}
