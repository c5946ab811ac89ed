import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type FolderFiles, folderConfigOf, folderTokenizerOf, type GgufFiles } from '@errata/model';
import { applyDelta } from './apply-delta.js';
import { keptConfig, newConfig } from './config-file.js';
import type { FilePlan } from './export-folder.js';
import type { LayerFactors } from './factors.js';
import { ggufTensorPlans } from './gguf-to-folder.js';
import { recordOf } from './gguf-writer.js';
import { bytesFile, jsonFile } from './json-file.js';
import type { NumberFormat } from './number-formats.js';
import type { TensorPlan } from './safetensors-writer.js';
import { shardedFiles } from './sharding.js';
import type { ExportSource, LayerRecord } from './source.js';

/** Files of a Hugging Face folder that go along, as they are. config.json names another dtype. */
const companions =
  /^(generation_config\.json|tokenizer\.json|tokenizer_config\.json|tokenizer\.model|special_tokens_map\.json|added_tokens\.json|vocab\.json|merges\.txt|chat_template\.jinja|chat_template\.json|preprocessor_config\.json|processor_config\.json|LICENSE(\.\w+)?)$/;

const floats = new Set(['F32', 'F16', 'BF16', 'F64']);

/**
 * The whole edited model as a Hugging Face folder: every tensor in `format`, config.json and the tokenizer beside it. Of a
 * GGUF base, configuration, tokenizer and names are made from what was read.
 * @throws EXPORT_UNSUPPORTED a GGUF file that has no equal among Hugging Face folders
 */
export async function planMerged(
  source: ExportSource,
  options: { format: NumberFormat; shardBytes: number },
): Promise<FilePlan[]> {
  const { files } = source;
  const { format, shardBytes } = options;
  const [tensors, others] =
    files.kind === 'folder'
      ? [folderTensors(source, files, format), await folderCompanions(files, format)]
      : [ggufTensors(source, files, format), ggufCompanions(source, files, format)];
  return [...others, ...shardedFiles(tensors, format, shardBytes, source.pause)];
}

function folderTensors(source: ExportSource, files: FolderFiles, format: NumberFormat): TensorPlan[] {
  const { tensors: names } = source.architecture.family.folder;
  const edited = new Map(
    names.roots.flatMap((root) =>
      source.layers.map((factors) => [`${root}${at(names.layer.down, factors.layer)}.weight`, factors]),
    ),
  );
  const plans: TensorPlan[] = [];
  for (const [name, { shape, dtype }] of files.weights.tensors) {
    // Masks and the like: integers that the model makes itself.
    if (names.ignored.some((pattern) => pattern.test(name)) && !floats.has(dtype ?? 'F32')) continue;
    const factors = edited.get(name);
    const load = () => files.weights.read(name);
    plans.push({
      name,
      shape,
      load: factors
        ? () => editedValues(load(), factors, names.transposed, format, source)
        : async () => ({ values: load() }),
    });
  }
  return plans.sort(byName);
}

function ggufTensors(source: ExportSource, files: GgufFiles, format: NumberFormat): TensorPlan[] {
  const { tensors: names } = source.architecture.family.folder;
  const edited = new Map(
    source.layers.map((factors) => [`${names.roots[0]}${at(names.layer.down, factors.layer)}.weight`, factors]),
  );
  return ggufTensorPlans(source.architecture, files)
    .map((plan): TensorPlan => {
      const factors = edited.get(plan.name);
      if (!factors) return plan;
      return {
        ...plan,
        load: async () => editedValues((await plan.load()).values, factors, names.transposed, format, source),
      };
    })
    .sort(byName);
}

/** W of an edited layer in the order of its file. */
async function editedValues(
  stored: Float32Array,
  factors: LayerFactors,
  transposed: boolean,
  format: NumberFormat,
  { pause }: ExportSource,
): Promise<{ values: Float32Array; records: LayerRecord[] }> {
  const { inputs, outputs } = factors;
  const weight = transposed ? transpose(stored, inputs, outputs) : stored;
  const loss = await applyDelta(weight, factors, format, pause);
  return { values: transposed ? transpose(weight, outputs, inputs) : weight, records: [recordOf(factors, loss)] };
}

async function folderCompanions(files: FolderFiles, format: NumberFormat): Promise<FilePlan[]> {
  const names = (await readdir(files.path)).filter((name) => companions.test(name)).sort();
  const copies = await Promise.all(names.map(async (name) => bytesFile(name, await readFile(join(files.path, name)))));
  return [keptConfig(await readFile(join(files.path, 'config.json'), 'utf8'), format), ...copies];
}

function ggufCompanions({ architecture }: ExportSource, files: GgufFiles, format: NumberFormat): FilePlan[] {
  const { tokenizer, tokenizerConfig, generationConfig } = folderTokenizerOf(files);
  return [
    newConfig(folderConfigOf(architecture, files), format),
    jsonFile('generation_config.json', generationConfig),
    jsonFile('tokenizer.json', tokenizer),
    jsonFile('tokenizer_config.json', tokenizerConfig),
  ];
}

/** [rows, columns] → [columns, rows] */
function transpose(values: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) out[column * rows + row] = values[row * columns + column];
  return out;
}

function at(name: string, layer: number): string {
  return name.replace('{}', String(layer));
}

function byName(a: TensorPlan, b: TensorPlan): number {
  return a.name < b.name ? -1 : 1;
}
