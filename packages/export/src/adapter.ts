import type { Architecture, WeightSource } from '@errata/model';
import type { FilePlan } from './export-folder.js';
import type { LayerFactors } from './factors.js';
import { jsonFile } from './json-file.js';
import { lowRank } from './low-rank.js';
import type { NumberFormat } from './number-formats.js';
import { safetensorsFile, type TensorPlan } from './safetensors-writer.js';
import type { ExportSource, LayerRecord } from './source.js';

export const adapterFiles = { config: 'adapter_config.json', weights: 'adapter_model.safetensors' } as const;

/** A rank is 1 at least where a layer has no edits: an adapter of rank 0 does not exist. */
const leastRank = 1;

/**
 * A LoRA adapter of PEFT: W₀ + (α/r) B_lora A_lora with α = r, so that B_lora = B and A_lora = Gᵀ are the factors of the
 * log. Exact in fp32 while a layer has at most `maxRank` columns, else the best approximation of that rank.
 */
export async function planAdapter(
  source: ExportSource,
  options: { format: NumberFormat; maxRank: number },
): Promise<{ files: FilePlan[]; records: LayerRecord[] }> {
  const { format, maxRank } = options;
  const records: LayerRecord[] = [];
  const tensors: TensorPlan[] = [];
  const ranks = new Map<string, number>();
  for (const exact of source.layers) {
    const cut = await lowRank(exact, maxRank, source.pause);
    const factors = cut.factors.rank === 0 ? zeroFactors(cut.factors) : cut.factors;
    const rounded = roundFactors(factors, format);
    const relativeError = cut.relativeError + (await roundingError(factors, rounded, source));
    const removals = exact.removals === undefined ? {} : { removals: exact.removals };
    records.push({ layer: exact.layer, columns: exact.rank, rank: factors.rank, relativeError, ...removals });
    const module = moduleName(source.architecture, exact.layer, source.files.weights, source.files.kind);
    ranks.set(module, factors.rank);
    tensors.push(...tensorsOf(module, rounded));
  }
  tensors.sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    files: [
      jsonFile(adapterFiles.config, adapterConfig(source, ranks)),
      safetensorsFile(adapterFiles.weights, tensors, format, source.pause),
    ],
    records,
  };
}

/** Path of a layer's second feed-forward matrix in the model that transformers builds. */
export function moduleName(
  { family }: Architecture,
  layer: number,
  weights: WeightSource,
  kind: 'folder' | 'gguf',
): string {
  const { roots, embedding, layer: names } = family.folder.tensors;
  const found = kind === 'folder' ? roots.find((root) => weights.tensors.has(`${root}${embedding}.weight`)) : undefined;
  // Files without the root, and those of older multimodal models, are loaded into modules that have it.
  const root = found === 'language_model.model.' ? 'model.language_model.' : found || roots[0];
  return `${root}${names.down.replace('{}', String(layer))}`;
}

function adapterConfig({ architecture, modelName }: ExportSource, ranks: ReadonlyMap<string, number>): object {
  const rank = Math.max(...ranks.values());
  const others = Object.fromEntries([...ranks].filter(([, own]) => own !== rank));
  return {
    alpha_pattern: others,
    base_model_name_or_path: modelName,
    bias: 'none',
    fan_in_fan_out: architecture.family.folder.tensors.transposed,
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: rank,
    lora_dropout: 0,
    modules_to_save: null,
    peft_type: 'LORA',
    r: rank,
    rank_pattern: others,
    target_modules: [...ranks.keys()],
    task_type: 'CAUSAL_LM',
    use_dora: false,
    use_rslora: false,
  };
}

function tensorsOf(module: string, { inputs, outputs, rank, b, g }: LayerFactors): TensorPlan[] {
  const name = (part: 'A' | 'B') => `base_model.model.${module}.lora_${part}.weight`;
  return [
    // Gᵀ row-major is G column-major.
    { name: name('A'), shape: [rank, inputs], load: async () => ({ values: g }) },
    { name: name('B'), shape: [outputs, rank], load: async () => ({ values: rowMajor(b, outputs, rank) }) },
  ];
}

function rowMajor(columns: Float32Array, rows: number, count: number): Float32Array {
  const out = new Float32Array(columns.length);
  for (let column = 0; column < count; column++)
    for (let row = 0; row < rows; row++) out[row * count + column] = columns[column * rows + row];
  return out;
}

function zeroFactors(factors: LayerFactors): LayerFactors {
  const { inputs, outputs } = factors;
  return { ...factors, rank: leastRank, b: new Float32Array(outputs), g: new Float32Array(inputs) };
}

function roundFactors(factors: LayerFactors, format: NumberFormat): LayerFactors {
  const rounded = (values: Float32Array): Float32Array => {
    if (format.dtype === 'fp32') return values;
    const out = new Float32Array(values.length);
    format.decode(format.encode(values), out);
    return out;
  };
  return { ...factors, b: rounded(factors.b), g: rounded(factors.g) };
}

/** ‖B Gᵀ − B' G'ᵀ‖ / ‖B Gᵀ‖, row by row of Δ. */
async function roundingError(exact: LayerFactors, rounded: LayerFactors, { pause }: ExportSource): Promise<number> {
  if (exact.b === rounded.b) return 0;
  const { inputs, outputs, rank } = exact;
  const [row, difference] = [new Float64Array(inputs), new Float64Array(inputs)];
  let [total, error] = [0, 0];
  for (let output = 0; output < outputs; output++) {
    row.fill(0);
    difference.fill(0);
    for (let column = 0; column < rank; column++) {
      const [factor, stored] = [exact.b[column * outputs + output], rounded.b[column * outputs + output]];
      const at = column * inputs;
      for (let i = 0; i < inputs; i++) {
        const value = factor * exact.g[at + i];
        row[i] += value;
        difference[i] += value - stored * rounded.g[at + i];
      }
    }
    for (let i = 0; i < inputs; i++) {
      total += row[i] * row[i];
      error += difference[i] * difference[i];
    }
    await pause();
  }
  return total === 0 ? 0 : Math.sqrt(error / total);
}
