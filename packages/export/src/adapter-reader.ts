import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { adapterLimits, ErrataError } from '@errata/contracts';
import { type Architecture, ModelError, openSafetensors, type SafetensorsFile } from '@errata/model';
import { adapterFiles } from './adapter.js';
import type { LayerFactors } from './factors.js';

/** Longest adapter_config.json that is read: those with a pattern for every layer have some ten thousand bytes. */
const maxConfigBytes = 1024 * 1024;

const tensorName = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/;

type Config = Readonly<Record<string, unknown>>;

/** What of a model an adapter has to fit. */
export interface AdaptedModel {
  readonly family: Architecture['family'];
  readonly config: Pick<Architecture['config'], 'layers' | 'intermediateSize' | 'hiddenSize'>;
}

/**
 * The changes of a LoRA adapter as factors, its scaling in B. Only second feed-forward matrices can be changed: an adapter
 * of other modules is refused by their names.
 * @param where what messages call the adapter
 * @throws ADAPTER_REFUSED
 */
export async function readAdapter(
  folder: string,
  { family, config: model }: AdaptedModel,
  where = `the adapter in ${folder}`,
): Promise<LayerFactors[]> {
  const refused = (why: string, cause?: unknown) => new ErrataError('ADAPTER_REFUSED', `${where} ${why}`, { cause });
  const config = await readConfig(folder, refused);
  refuseVariants(config, refused);
  try {
    return factorsOf(openSafetensors(join(folder, adapterFiles.weights)), config, { family, config: model }, refused);
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    throw refused(
      `has an ${adapterFiles.weights} that cannot be read: ${error.message.replace(`${folder}/`, '')}`,
      error,
    );
  }
}

type Refusal = (why: string, cause?: unknown) => ErrataError;

function factorsOf(
  file: SafetensorsFile,
  config: Config,
  { family, config: model }: AdaptedModel,
  refused: Refusal,
): LayerFactors[] {
  const down = new RegExp(
    `(?:^|\\.)${family.folder.tensors.layer.down.replaceAll('.', '\\.').replace('{}', '(\\d+)')}$`,
  );
  const modules = new Map<string, number>();
  for (const name of file.tensors.keys()) {
    const module = tensorName.exec(name)?.[1];
    const layer = module === undefined ? undefined : down.exec(module)?.[1];
    if (module === undefined || layer === undefined)
      throw refused(`changes ${name}, which is no ${family.folder.tensors.layer.down} of ${family.name}`);
    if (Number(layer) >= model.layers) throw refused(`changes layer ${layer}, the model has ${model.layers}`);
    const twin = [...modules].find(([other, at]) => at === Number(layer) && other !== module);
    if (twin) throw refused(`changes layer ${layer} twice, as ${twin[0]} and as ${module}`);
    modules.set(module, Number(layer));
  }
  const { intermediateSize: inputs, hiddenSize: outputs } = model;
  const factors = [...modules].map(([module, layer]): LayerFactors => {
    const part = (which: 'A' | 'B', shape: (rank: number) => number[]): { values: Float32Array; rank: number } => {
      const name = `base_model.model.${module}.lora_${which}.weight`;
      const stored = file.tensors.get(name);
      const rank = stored?.shape[which === 'A' ? 0 : 1] ?? 0;
      if (!stored || stored.shape.join() !== shape(rank).join())
        throw refused(`has ${name} of shape [${stored?.shape ?? ''}], wanted [${shape(rank)}]`);
      return { values: file.read(name), rank };
    };
    const a = part('A', (rank) => [rank, inputs]);
    const b = part('B', (rank) => [outputs, rank]);
    if (a.rank > adapterLimits.rank)
      throw refused(`has rank ${a.rank} for ${module}: at most ${adapterLimits.rank} is taken`);
    if (a.rank !== b.rank) throw refused(`has two ranks, ${a.rank} and ${b.rank}, for ${module}`);
    if (![a, b].every(({ values }) => values.every(Number.isFinite)))
      throw refused(`has a number in ${module} that is not finite`);
    const scaling = scalingOf(config, module, a.rank, refused);
    const columns = new Float32Array(b.values.length);
    for (let row = 0; row < outputs; row++)
      for (let column = 0; column < a.rank; column++)
        columns[column * outputs + row] = scaling * b.values[row * a.rank + column];
    return { layer, inputs, outputs, rank: a.rank, b: columns, g: a.values };
  });
  return factors.sort((first, second) => first.layer - second.layer);
}

async function readConfig(folder: string, refused: Refusal): Promise<Config> {
  const path = join(folder, adapterFiles.config);
  const found = await stat(path).catch(() => null);
  if (!found?.isFile() || found.size > maxConfigBytes) throw refused(`has no ${adapterFiles.config}`);
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (typeof value === 'object' && value !== null) return value as Config;
  } catch {
    // said below
  }
  throw refused(`has an ${adapterFiles.config} that is no JSON object`);
}

function refuseVariants(config: Config, refused: Refusal): void {
  if (config.peft_type !== 'LORA') throw refused(`is of type ${String(config.peft_type)}, not LORA`);
  for (const key of ['use_dora', 'modules_to_save', 'trainable_token_indices', 'target_parameters'])
    if (config[key] && !(Array.isArray(config[key]) && config[key].length === 0))
      throw refused(`uses ${key}, which is more than a change of rank r`);
  if ((config.bias ?? 'none') !== 'none') throw refused('changes biases');
}

/** α/r of a module, by the patterns as PEFT matches them. */
function scalingOf(config: Config, module: string, rank: number, refused: Refusal): number {
  const pattern = config.alpha_pattern;
  const own =
    typeof pattern === 'object' && pattern !== null
      ? Object.entries(pattern as Record<string, unknown>).find(([key]) => module === key || module.endsWith(`.${key}`))
      : undefined;
  const alpha = own ? own[1] : (config.lora_alpha ?? 8);
  if (typeof alpha !== 'number' || !Number.isFinite(alpha))
    throw refused(`has the alpha ${String(alpha)} for ${module}, which is not a number`);
  return alpha / (config.use_rslora === true ? Math.sqrt(rank) : rank);
}
