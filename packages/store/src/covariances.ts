import { createHash } from 'node:crypto';
import { ErrataError } from '@errata/contracts';
import { assertMatrix, float32Bytes } from './bytes.js';
import type { CopyField } from './copy.js';
import { copyIn, type Database } from './database.js';
import type { Covariance } from './generated/client.js';
import { assertStorable } from './text.js';
import type { CovarianceInfo, Matrix, Store } from './types.js';

/** A field travels through COPY in one piece: small enough not to weigh on either side, large enough to stream. */
const CHUNK_BYTES = 4 * 1024 * 1024;
const COVARIANCE_ID = /^cov_[0-9a-f]{64}$/;

/** What determines a covariance, hashed. */
export function covarianceId({
  modelId,
  layer,
  corpusId,
  tokens,
}: Pick<CovarianceInfo, 'modelId' | 'layer' | 'corpusId' | 'tokens'>): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([modelId, layer, corpusId, tokens]))
    .digest('hex');
  return `cov_${digest}`;
}

function toInfo({ id, modelId, layer, corpusId, source, tokens, dimension }: Covariance): CovarianceInfo {
  return { id, modelId, layer, corpusId, source, tokens, dimension };
}

/** Rows of covariance_chunks for the bytes of a matrix. */
export function* covarianceRows(id: string, bytes: Buffer): Generator<CopyField[]> {
  for (let index = 0; index * CHUNK_BYTES < bytes.length; index++)
    yield [id, { int4: index }, bytes.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES)];
}

async function readMoment(db: Database, row: Covariance): Promise<Matrix> {
  const data = new Float32Array(row.dimension * row.dimension);
  const bytes = float32Bytes(data);
  let at = 0;
  const query = `SELECT data FROM covariance_chunks WHERE covariance_id = '${row.id}' ORDER BY index`;
  for await (const [chunk] of db.copyOut(query)) if (chunk) at += chunk.copy(bytes, at);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  if (at !== bytes.length || sha256 !== row.sha256)
    throw new ErrataError('LOG_CORRUPT', `covariance ${row.id} does not match its hash`);
  return { rows: row.dimension, columns: row.dimension, data };
}

export function covarianceRecords(
  db: Database,
): Pick<Store, 'saveCovariance' | 'findCovariance' | 'readCovariance' | 'bindCovariance' | 'boundCovariance'> {
  return {
    async saveCovariance(info, moment) {
      assertMatrix(moment, 'covariance');
      assertStorable({ corpusId: info.corpusId, source: info.source });
      if (moment.rows !== moment.columns || moment.rows !== info.dimension)
        throw new ErrataError(
          'INVALID_TENSOR',
          `a covariance of dimension ${info.dimension} cannot be ${moment.rows} × ${moment.columns}`,
        );
      const id = covarianceId(info);
      const bytes = float32Bytes(moment.data);
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      await db.session(async (client) => {
        const written = await client.query(
          `INSERT INTO covariances (id, model_id, layer, corpus_id, source, tokens, dimension, sha256)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`,
          [id, info.modelId, info.layer, info.corpusId, info.source, info.tokens, info.dimension, sha256],
        );
        if (written.rowCount === 0) return;
        await copyIn(client, 'covariance_chunks', ['covariance_id', 'index', 'data'], covarianceRows(id, bytes));
      });
      return toInfo(await db.prisma.covariance.findUniqueOrThrow({ where: { id } }));
    },

    async findCovariance(modelId, layer, source, tokens) {
      const row = await db.prisma.covariance.findFirst({
        where: { modelId, layer, source, tokens: { gte: tokens } },
        orderBy: [{ createdAt: 'desc' }, { id: 'asc' }],
      });
      return row && toInfo(row);
    },

    async readCovariance(id) {
      const row = COVARIANCE_ID.test(id) ? await db.prisma.covariance.findUnique({ where: { id } }) : null;
      if (!row)
        throw new ErrataError('UNKNOWN_POSITION', `no covariance has the id ${JSON.stringify(id.slice(0, 100))}`);
      return readMoment(db, row);
    },

    async bindCovariance(streamId, layer, covarianceId) {
      await db.prisma.streamCovariance.createMany({ data: [{ streamId, layer, covarianceId }], skipDuplicates: true });
    },

    async boundCovariance(streamId, layer) {
      const row = await db.prisma.streamCovariance.findUnique({
        where: { streamId_layer: { streamId, layer } },
        include: { covariance: true },
      });
      return row && toInfo(row.covariance);
    },
  };
}
