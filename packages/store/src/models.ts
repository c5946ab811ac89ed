import { ErrataError } from '@errata/contracts';
import type { Database } from './database.js';
import { assertStorable } from './text.js';
import type { Store } from './types.js';

const shown = {
  id: true,
  name: true,
  architecture: true,
  layers: true,
  hiddenSize: true,
  intermediateSize: true,
} as const;

export function modelRecords(db: Database): Pick<Store, 'registerModel' | 'listModels' | 'getModel'> {
  return {
    async registerModel({ id, name, architecture, layers, hiddenSize, intermediateSize }) {
      assertStorable({ id, name, architecture });
      const fields = { name, architecture, layers, hiddenSize, intermediateSize };
      await db.prisma.model.upsert({
        where: { id },
        create: { id, ...fields },
        update: { ...fields, registeredAt: new Date() },
      });
    },

    listModels: () => db.prisma.model.findMany({ select: shown, orderBy: [{ name: 'asc' }, { id: 'asc' }] }),

    async getModel(idOrName) {
      assertStorable({ model: idOrName });
      const found =
        (await db.prisma.model.findUnique({ where: { id: idOrName }, select: shown })) ??
        (await db.prisma.model.findFirst({
          where: { name: idOrName },
          select: shown,
          orderBy: { registeredAt: 'desc' },
        }));
      if (!found)
        throw new ErrataError('UNKNOWN_MODEL', `no model has the id or name ${JSON.stringify(idOrName.slice(0, 200))}`);
      return found;
    },
  };
}
