import { readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { ErrataClient } from '@errata/client';
import { type Adapter, adapterIdSchema, adapterLimits } from '@errata/contracts';
import { type CliContext, fromHere } from './context.js';
import { UsageError } from './failure.js';

/**
 * An adapter that is uploaded, by its id, or one that lies in a folder and is uploaded now.
 * @throws UsageError naming the file that is missing
 */
export async function uploadedAdapter(
  { env, signal }: CliContext,
  client: Pick<ErrataClient, 'addAdapter' | 'getAdapter'>,
  given: string,
  model: string,
): Promise<Adapter> {
  if (adapterIdSchema.safeParse(given).success) return client.getAdapter(given, { signal });
  const folder = fromHere(env, given);
  const [config, weights] = [
    await read(folder, 'adapter_config.json'),
    await read(folder, 'adapter_model.safetensors'),
  ];
  if (config === null || weights === null)
    throw new UsageError(
      `${given} is no adapter of PEFT: it lacks ${config === null ? 'adapter_config.json' : 'adapter_model.safetensors'}`,
    );
  const manifest = (await read(folder, 'manifest.json')) ?? undefined;
  const name = basename(folder).slice(0, adapterLimits.nameLength);
  return client.addAdapter({ model, name, config, weights, manifest }, { signal });
}

/** The file's bytes; null where there is none. */
async function read(folder: string, name: string): Promise<Uint8Array<ArrayBuffer> | null> {
  const path = join(folder, name);
  const found = await stat(path).catch(() => null);
  if (!found?.isFile()) return null;
  if (found.size > adapterLimits.bytes)
    throw new UsageError(`${path} has ${found.size} bytes: adapters of ${adapterLimits.bytes} are taken at most`);
  return new Uint8Array(await readFile(path));
}
