import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ErrataError } from '@errata/contracts';
import { type Architecture, openSafetensors } from '@errata/model';
import { adapterFiles } from './adapter.js';
import type { LayerFactors } from './factors.js';

/** Longest adapter_config.json that is read: those with a pattern for every layer have some ten thousand bytes. */
const maxConfigBytes = 1024 * 1024;

const tensorName = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/;

type Config = Readonly<Record<string, unknown>>;

/**
 * The changes of a LoRA adapter as factors, its scaling in B. Only second feed-forward matrices can be changed: an adapter
 * of other modules is refused by their names.
 * @throws EXPORT_UNSUPPORTED
 */
export async function readAdapter(folder: string, { family, config: model }: Architecture): Promise<LayerFactors[]> {
  const config = await readConfig(folder);
  refuseVariants(folder, config);
  const file = openSafetensors(join(folder, adapterFiles.weights));
  const down = new RegExp(
    `(?:^|\\.)${family.folder.tensors.layer.down.replaceAll('.', '\\.').replace('{}', '(\\d+)')}$`,
  );
  const modules = new Map<string, number>();
  for (const name of file.tensors.keys()) {
    const module = tensorName.exec(name)?.[1];
    const layer = module === undefined ? undefined : down.exec(module)?.[1];
    if (module === undefined || layer === undefined)
      throw refused(folder, `changes ${name}, which is no ${family.folder.tensors.layer.down} of ${family.name}`);
    if (Number(layer) >= model.layers) throw refused(folder, `changes layer ${layer}, the model has ${model.layers}`);
    modules.set(module, Number(layer));
  }
  const { intermediateSize: inputs, hiddenSize: outputs } = model;
  const factors = [...modules].map(([module, layer]): LayerFactors => {
    const part = (which: 'A' | 'B', shape: (rank: number) => number[]): { values: Float32Array; rank: number } => {
      const name = `base_model.model.${module}.lora_${which}.weight`;
      const stored = file.tensors.get(name);
      const rank = stored?.shape[which === 'A' ? 0 : 1] ?? 0;
      if (!stored || stored.shape.join() !== shape(rank).join())
        throw refused(folder, `has ${name} of shape [${stored?.shape ?? ''}], wanted [${shape(rank)}]`);
      return { values: file.read(name), rank };
    };
    const a = part('A', (rank) => [rank, inputs]);
    const b = part('B', (rank) => [outputs, rank]);
    if (a.rank !== b.rank) throw refused(folder, `has two ranks, ${a.rank} and ${b.rank}, for ${module}`);
    const scaling = scalingOf(config, module, a.rank);
    const columns = new Float32Array(b.values.length);
    for (let row = 0; row < outputs; row++)
      for (let column = 0; column < a.rank; column++)
        columns[column * outputs + row] = scaling * b.values[row * a.rank + column];
    return { layer, inputs, outputs, rank: a.rank, b: columns, g: a.values };
  });
  return factors.sort((first, second) => first.layer - second.layer);
}

async function readConfig(folder: string): Promise<Config> {
  const path = join(folder, adapterFiles.config);
  const found = await stat(path).catch(() => null);
  if (!found?.isFile() || found.size > maxConfigBytes) throw refused(folder, `has no ${adapterFiles.config}`);
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (typeof value === 'object' && value !== null) return value as Config;
  } catch {
    // said below
  }
  throw refused(folder, `has an ${adapterFiles.config} that is no JSON object`);
}

function refuseVariants(folder: string, config: Config): void {
  if (config.peft_type !== 'LORA') throw refused(folder, `is of type ${String(config.peft_type)}, not LORA`);
  for (const key of ['use_dora', 'modules_to_save', 'trainable_token_indices', 'target_parameters'])
    if (config[key] && !(Array.isArray(config[key]) && config[key].length === 0))
      throw refused(folder, `uses ${key}, which is more than a change of rank r`);
  if ((config.bias ?? 'none') !== 'none') throw refused(folder, 'changes biases');
}

/** α/r of a module, by the patterns as PEFT matches them. */
function scalingOf(config: Config, module: string, rank: number): number {
  const pattern = config.alpha_pattern;
  const own =
    typeof pattern === 'object' && pattern !== null
      ? Object.entries(pattern as Record<string, unknown>).find(([key]) => module === key || module.endsWith(`.${key}`))
      : undefined;
  const alpha = own ? own[1] : (config.lora_alpha ?? 8);
  if (typeof alpha !== 'number' || !Number.isFinite(alpha))
    throw new ErrataError('EXPORT_UNSUPPORTED', `the adapter's alpha of ${module} is ${String(alpha)}, not a number`);
  return alpha / (config.use_rslora === true ? Math.sqrt(rank) : rank);
}

function refused(folder: string, why: string): ErrataError {
  return new ErrataError('EXPORT_UNSUPPORTED', `the adapter in ${folder} ${why}`);
}
