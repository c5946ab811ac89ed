import { createHash } from 'node:crypto';
import { type Adapter, ErrataError } from '@errata/contracts';
import type { AdapterFactors, AdapterStore, NewAdapter } from './adapter-types.js';
import { assertMatrix, float32Array, float32Bytes } from './bytes.js';
import { copyIn, type Database } from './database.js';
import type { Adapter as AdapterRow } from './generated/client.js';
import { modelRecords } from './models.js';
import { assertStorable, storable } from './text.js';
import type { Matrix } from './types.js';

const ADAPTER_ID = /^adp_[0-9a-f]{64}$/;
const COLUMNS = ['adapter_id', 'layer', 'rank', 'g', 'b', 'sha256'] as const;

const include = {
  layers: { select: { layer: true, rank: true }, orderBy: { layer: 'asc' } },
  _count: { select: { edits: true } },
} as const;

type Row = AdapterRow & {
  readonly layers: readonly { readonly layer: number; readonly rank: number }[];
  readonly _count: { readonly edits: number };
};

function toAdapter({ id, name, modelId, rank, own, origin, bytes, layers, createdAt, _count }: Row): Adapter {
  return {
    id,
    name,
    modelId,
    rank,
    layers: layers.map((layer) => ({ ...layer })),
    own,
    origin: origin as Adapter['origin'],
    bytes,
    streams: _count.edits,
    createdAt: createdAt.toISOString(),
  };
}

export function unknownAdapter(id: string): ErrataError {
  return new ErrataError(
    'UNKNOWN_ADAPTER',
    `no adapter has the id ${JSON.stringify(id.slice(0, 100))}: upload it first, or list those there are`,
  );
}

function hashOf(g: Buffer, b: Buffer): string {
  return createHash('sha256').update(g).update(b).digest('hex');
}

/** Content of an adapter as rows, and the id that follows from it. */
function contentOf({ modelId, own, layers }: NewAdapter) {
  const hash = createHash('sha256').update(`errata.adapter.v1 ${modelId} ${own ? 'own' : 'foreign'}`);
  const rows = [...layers]
    .sort((one, other) => one.layer - other.layer)
    .map(({ layer, ...factors }) => {
      const [g, b] = [float32Bytes(factors.g.data), float32Bytes(factors.b.data)];
      const sha256 = hashOf(g, b);
      hash.update(`\n${layer} ${factors.g.columns} ${sha256}`);
      return { layer, rank: factors.g.columns, g, b, sha256 };
    });
  return { id: `adp_${hash.digest('hex')}`, rows };
}

function assertFits(layers: readonly AdapterFactors[], inputs: number, outputs: number): void {
  if (layers.length === 0) throw new ErrataError('INVALID_REQUEST', 'the adapter changes no layer');
  for (const { layer, g, b } of layers) {
    assertMatrix(g, `G of layer ${layer}`);
    assertMatrix(b, `B of layer ${layer}`);
    if (g.rows !== inputs || b.rows !== outputs || g.columns !== b.columns || g.columns === 0)
      throw new ErrataError(
        'INVALID_TENSOR',
        `layer ${layer}: G is ${g.rows} × ${g.columns} and B ${b.rows} × ${b.columns}, needed are ${inputs} × r and ${outputs} × r`,
      );
  }
}

/** Recorded columns, then zeros. */
function filled(rows: number, columns: number, bytes: Buffer): Matrix {
  const data = new Float32Array(rows * columns);
  data.set(float32Array(bytes));
  return { rows, columns, data };
}

export function adapterRecords(db: Database): AdapterStore {
  const { getModel } = modelRecords(db);

  async function getAdapter(id: string): Promise<Adapter> {
    assertStorable({ adapter: id });
    const row = await db.prisma.adapter.findUnique({ where: { id }, include });
    if (!row) throw unknownAdapter(id);
    return toAdapter(row);
  }

  return {
    getAdapter,

    async addAdapter(adapter) {
      const { name, modelId, own, origin, layers } = adapter;
      const { intermediateSize, hiddenSize } = await getModel(modelId);
      assertFits(layers, intermediateSize, hiddenSize);
      const { id, rows } = contentOf(adapter);
      const rank = Math.max(...rows.map((row) => row.rank));
      const bytes = rows.reduce((sum, { g, b }) => sum + g.length + b.length, 0);
      await db.session(async (client) => {
        const written = await client.query(
          `INSERT INTO adapters (id, name, model_id, rank, own, origin, bytes) VALUES ($1, $2, $3, $4, $5, $6, $7)
           ON CONFLICT DO NOTHING`,
          [id, storable(name), modelId, rank, own, origin === null ? null : JSON.stringify(storable(origin)), bytes],
        );
        const fields = rows.map((row) => [id, { int4: row.layer }, { int4: row.rank }, row.g, row.b, row.sha256]);
        if (written.rowCount === 1) await copyIn(client, 'adapter_layers', COLUMNS, fields);
      });
      return getAdapter(id);
    },

    async listAdapters() {
      const rows = await db.prisma.adapter.findMany({ include, orderBy: [{ createdAt: 'asc' }, { id: 'asc' }] });
      return rows.map(toAdapter);
    },

    async readAdapterLayer(id, layer) {
      if (!ADAPTER_ID.test(id)) throw unknownAdapter(id);
      const { rank, modelId } = await getAdapter(id);
      const { intermediateSize, hiddenSize } = await getModel(modelId);
      let factors: { readonly g: Buffer; readonly b: Buffer } = { g: Buffer.alloc(0), b: Buffer.alloc(0) };
      const query = `SELECT g, b, sha256 FROM adapter_layers WHERE adapter_id = '${id}' AND layer = ${Math.trunc(layer)}`;
      for await (const [g, b, sha256] of db.copyOut(query)) {
        if (!g || !b || hashOf(g, b) !== sha256?.toString())
          throw new ErrataError('LOG_CORRUPT', `layer ${layer} of the adapter ${id} does not match its hash`);
        factors = { g, b };
      }
      return { layer, g: filled(intermediateSize, rank, factors.g), b: filled(hiddenSize, rank, factors.b) };
    },

    async deleteAdapter(id) {
      assertStorable({ adapter: id });
      await db.transaction(async (tx) => {
        const found = await tx.$queryRaw<unknown[]>`SELECT id FROM adapters WHERE id = ${id} FOR UPDATE`;
        if (found.length === 0) throw unknownAdapter(id);
        // Counted after the lock: a stream that was being made has been committed by now.
        const streams = await tx.edit.count({ where: { adapterId: id } });
        if (streams > 0) throw new ErrataError('ADAPTER_IN_USE', `${streams} streams begin with the adapter ${id}`);
        await tx.adapter.delete({ where: { id } });
      });
    },
  };
}
