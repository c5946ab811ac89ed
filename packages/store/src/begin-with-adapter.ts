import { type EditorConfig, ErrataError, newId } from '@errata/contracts';
import { unknownAdapter } from './adapters.js';
import type { Transaction } from './database.js';
import { editKeyHash, targetHash } from './text.js';

/**
 * Queues the adapter that a new stream begins with, as its first edit.
 * @throws ErrataError UNKNOWN_ADAPTER, ADAPTER_REFUSED one of another model, or of layers that the stream does not edit
 */
export async function beginWithAdapter(
  tx: Transaction,
  stream: { readonly id: string; readonly modelId: string; readonly config: EditorConfig },
  adapterId: string,
): Promise<void> {
  // Keeps it from being deleted until the transaction ends.
  await tx.$queryRaw`SELECT id FROM adapters WHERE id = ${adapterId} FOR KEY SHARE`;
  const adapter = await tx.adapter.findUnique({
    where: { id: adapterId },
    include: { layers: { select: { layer: true }, orderBy: { layer: 'asc' } } },
  });
  if (!adapter) throw unknownAdapter(adapterId);
  if (adapter.modelId !== stream.modelId)
    throw new ErrataError(
      'ADAPTER_REFUSED',
      `the adapter ${adapter.name} is for the model ${adapter.modelId}, the stream is on ${stream.modelId}`,
    );
  const layers = adapter.layers.map(({ layer }) => layer);
  const edited = stream.config.layers;
  const others = layers.filter((layer) => !edited.includes(layer));
  if (others.length > 0)
    throw new ErrataError(
      'ADAPTER_REFUSED',
      `the adapter ${adapter.name} changes layers ${others.join(', ')}, the stream edits ${edited.join(', ')}: make the stream with "layers" that include them`,
    );
  const prompt = `adapter ${adapter.name}`;
  const target = `rank ${adapter.rank} on layers ${layers.join(', ')}`;
  await tx.edit.create({
    data: {
      id: newId('edt'),
      streamId: stream.id,
      ordinal: 1,
      prompt,
      target,
      keyHash: editKeyHash(undefined, `${adapterId} ${prompt}`),
      targetHash: targetHash(target),
      status: 'queued',
      adapterId,
      width: adapter.rank,
    },
  });
  await tx.stream.update({ where: { id: stream.id }, data: { nextOrdinal: 2 } });
}
