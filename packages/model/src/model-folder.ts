import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ModelError } from './errors.js';
import { openSafetensors, type SafetensorsFile } from './safetensors.js';
import { shown } from './shown.js';
import type { WeightSource, WeightTensor } from './weight-source.js';

const singleFile = 'model.safetensors';
const indexFile = 'model.safetensors.index.json';

/** Largest text file read: tokenizer.json of a vocabulary of 262,144 has some 35 MB. */
const maxTextBytes = 256 * 1024 * 1024;

/** Tensors of the model by the file they are in; null where one file holds all. */
type WeightMap = ReadonlyMap<string, string> | null;

/**
 * Names of the weight files of a Hugging Face folder, sorted: model.safetensors, or else those that
 * model.safetensors.index.json lists.
 * @throws ModelError FILE_NOT_FOUND, FILE_MALFORMED, UNSUPPORTED_FORMAT where there are weights of other formats only
 */
export async function weightFileNames(folder: string): Promise<string[]> {
  return filesOf(await readWeightMap(folder));
}

/**
 * Opens the weights of a Hugging Face folder. All tensors of all files are the model's; a name that is in two files is
 * refused, and so is an index that disagrees with the files.
 * @throws ModelError FILE_NOT_FOUND, FILE_TRUNCATED, FILE_MALFORMED, UNSUPPORTED_FORMAT
 */
export async function openFolderWeights(folder: string): Promise<WeightSource> {
  const weightMap = await readWeightMap(folder);
  const tensors = new Map<string, WeightTensor>();
  const owners = new Map<string, SafetensorsFile>();
  for (const fileName of filesOf(weightMap)) {
    const file = openSafetensors(join(folder, fileName));
    for (const [name, tensor] of file.tensors) {
      const owner = owners.get(name);
      if (owner) throw malformed(file.path, `tensor ${shown(name)} is in ${owner.path}, too`);
      owners.set(name, file);
      tensors.set(name, tensor);
    }
  }
  for (const [name, fileName] of weightMap ?? []) {
    const path = join(folder, fileName);
    if (owners.get(name)?.path !== path)
      throw malformed(
        path,
        `lacks the tensor ${shown(name)}, which ${indexFile} says it has; download the model again`,
      );
  }
  return {
    path: folder,
    tensors,
    read: (name, out) => {
      const owner = owners.get(name);
      if (!owner) throw malformed(folder, `no weight file has the tensor ${shown(name)}`);
      return owner.read(name, out);
    },
  };
}

/**
 * Text of a file of the folder, or null where there is none.
 * @throws ModelError FILE_MALFORMED where it is too large or not UTF-8
 */
export async function readText(folder: string, name: string): Promise<string | null> {
  const path = join(folder, name);
  const size = await sizeOf(path);
  if (size === null) return null;
  if (size > maxTextBytes) throw malformed(path, `has ${size} bytes; at most ${maxTextBytes} are read`);
  const bytes = await readFile(path);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw malformed(path, 'is not UTF-8', cause);
  }
}

/**
 * A JSON file of the folder, which must hold an object, or null where there is none.
 * @throws ModelError FILE_MALFORMED
 */
export async function readJson(folder: string, name: string): Promise<Record<string, unknown> | null> {
  const text = await readText(folder, name);
  if (text === null) return null;
  const path = join(folder, name);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw malformed(path, `is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  }
  if (!isObject(value)) throw malformed(path, 'is not a JSON object');
  return value;
}

async function readWeightMap(folder: string): Promise<WeightMap> {
  if ((await sizeOf(join(folder, singleFile))) !== null) return null;
  const index = await readJson(folder, indexFile);
  if (!index) throw await withoutWeights(folder);
  const path = join(folder, indexFile);
  const { weight_map: map } = index;
  if (!isObject(map) || Object.keys(map).length === 0) throw malformed(path, 'has no weight_map of tensors to files');
  const weightMap = new Map<string, string>();
  for (const [name, fileName] of Object.entries(map)) weightMap.set(name, checkFileName(path, name, fileName));
  return weightMap;
}

/** Symbolic links are followed: the cache of the Hugging Face hub keeps a model's files as links out of its folder. */
function checkFileName(path: string, name: string, fileName: unknown): string {
  if (typeof fileName === 'string' && /^[^/\\\0]+\.safetensors$/.test(fileName)) return fileName;
  throw malformed(
    path,
    `tensor ${shown(name)} is said to be in ${shown(String(fileName))}, which is no safetensors file of this folder`,
  );
}

function filesOf(weightMap: WeightMap): string[] {
  return weightMap ? [...new Set(weightMap.values())].sort() : [singleFile];
}

async function withoutWeights(folder: string): Promise<ModelError> {
  const names = await readdir(folder).catch(() => [] as string[]);
  const pickled = names.find((name) => /^pytorch_model.*\.(bin|bin\.index\.json)$/.test(name));
  if (pickled)
    return new ModelError(
      'UNSUPPORTED_FORMAT',
      `${folder} has ${pickled} only, a pickle, which can run code when it is read; convert it with transformers: AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder, safe_serialization=True)`,
    );
  const gguf = names.find((name) => name.endsWith('.gguf'));
  if (gguf)
    return new ModelError('UNSUPPORTED_FORMAT', `${folder} is not a Hugging Face folder; name the file ${gguf}`);
  return new ModelError('FILE_NOT_FOUND', `${folder} has neither ${singleFile} nor ${indexFile}`);
}

async function sizeOf(path: string): Promise<number | null> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() ? found.size : null;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function malformed(path: string, reason: string, cause?: unknown): ModelError {
  return new ModelError('FILE_MALFORMED', `${path}: ${reason}`, { cause });
}
