import type { FilePlan } from './export-folder.js';
import { jsonFile } from './json-file.js';
import { bytesOf, type NumberFormat } from './number-formats.js';
import { safetensorsFile, type TensorPlan, valuesOf } from './safetensors-writer.js';
import type { ExportSource } from './source.js';

/** Bytes of tensors in a file at most, unless one alone is larger: what transformers takes (`max_shard_size`). */
export const defaultShardBytes = 5_000_000_000;

/**
 * The weight files of a Hugging Face folder: model.safetensors, or numbered shards with their index where one file would
 * hold more than `shardBytes`.
 */
export function shardedFiles(
  tensors: readonly TensorPlan[],
  format: NumberFormat,
  shardBytes: number,
  pause: ExportSource['pause'],
): FilePlan[] {
  const shards = shardsOf(tensors, format, shardBytes);
  if (shards.length === 1) return [safetensorsFile('model.safetensors', tensors, format, pause)];
  const padded = (n: number) => String(n).padStart(5, '0');
  const nameOf = (i: number) => `model-${padded(i + 1)}-of-${padded(shards.length)}.safetensors`;
  const files = shards.map((shard, i) => safetensorsFile(nameOf(i), shard, format, pause));
  const weightMap = Object.fromEntries(shards.flatMap((shard, i) => shard.map(({ name }) => [name, nameOf(i)])));
  const total = tensors.reduce((sum, { shape }) => sum + bytesOf(format, valuesOf(shape)), 0);
  const index = { metadata: { total_size: total }, weight_map: weightMap };
  return [...files, jsonFile('model.safetensors.index.json', index)];
}

function shardsOf(tensors: readonly TensorPlan[], format: NumberFormat, shardBytes: number): TensorPlan[][] {
  const shards: TensorPlan[][] = [];
  let filled = Number.POSITIVE_INFINITY;
  for (const tensor of tensors) {
    const bytes = bytesOf(format, valuesOf(tensor.shape));
    if (filled + bytes > shardBytes) {
      shards.push([]);
      filled = 0;
    }
    shards.at(-1)?.push(tensor);
    filled += bytes;
  }
  return shards;
}
