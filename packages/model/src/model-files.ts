import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ModelError } from './errors.js';
import { openGguf, readTensor } from './gguf.js';
import { openFolderWeights, readJson, readText } from './model-folder.js';
import { shown } from './shown.js';
import type { WeightSource } from './weight-source.js';

/** The opened files of a model: a GGUF file, or a Hugging Face folder. */
export type ModelFiles = GgufFiles | FolderFiles;

/** A GGUF file: configuration and tokenizer are in its metadata. */
export interface GgufFiles {
  readonly kind: 'gguf';
  readonly path: string;
  readonly metadata: ReadonlyMap<string, unknown>;
  readonly weights: WeightSource;
}

/** A Hugging Face folder. */
export interface FolderFiles {
  readonly kind: 'folder';
  readonly path: string;
  /** config.json */
  readonly config: Readonly<Record<string, unknown>>;
  /** generation_config.json */
  readonly generationConfig: Readonly<Record<string, unknown>> | null;
  /** tokenizer.json, parsed */
  readonly tokenizer: unknown;
  /** tokenizer_config.json */
  readonly tokenizerConfig: Readonly<Record<string, unknown>> | null;
  /** special_tokens_map.json */
  readonly specialTokensMap?: Readonly<Record<string, unknown>> | null;
  /** chat_template.jinja, or the template of tokenizer_config.json */
  readonly chatTemplate: string | null;
  readonly weights: WeightSource;
}

/**
 * Opens a GGUF file or a Hugging Face folder: headers are read and checked, weights are not.
 * @throws ModelError FILE_NOT_FOUND, FILE_TRUNCATED, FILE_MALFORMED, UNSUPPORTED_FORMAT
 */
export async function openModelFiles(path: string): Promise<ModelFiles> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new ModelError('FILE_NOT_FOUND', `no model at ${path}`, { cause });
  });
  if (found.isDirectory()) return openFolder(path);
  if (path.endsWith('.safetensors'))
    throw new ModelError(
      'UNSUPPORTED_FORMAT',
      `${path} holds weights without a configuration; name the folder with its config.json: ${dirname(path)}`,
    );
  return openGgufFiles(path);
}

async function openGgufFiles(path: string): Promise<GgufFiles> {
  const file = await openGguf(path);
  const parts = Number(file.metadata.get('split.count') ?? 1);
  if (parts > 1)
    throw new ModelError(
      'UNSUPPORTED_FORMAT',
      `${path} is one of ${parts} parts of a model; join them with llama-gguf-split --merge`,
    );
  return {
    kind: 'gguf',
    path,
    metadata: file.metadata,
    weights: {
      path,
      tensors: file.tensors,
      read: (name, out) => {
        const tensor = file.tensors.get(name);
        if (!tensor) throw new ModelError('FILE_MALFORMED', `${path}: there is no tensor ${shown(name)}`);
        return readTensor(file, tensor, out);
      },
    },
  };
}

async function openFolder(path: string): Promise<FolderFiles> {
  const weights = await openFolderWeights(path);
  const config = await readJson(path, 'config.json');
  if (!config) throw missing(path, 'config.json', 'download it with the model');
  const tokenizer = await readJson(path, 'tokenizer.json');
  if (!tokenizer)
    throw missing(
      path,
      'tokenizer.json',
      'write it with transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)',
    );
  const tokenizerConfig = await readJson(path, 'tokenizer_config.json');
  return {
    kind: 'folder',
    path,
    config,
    generationConfig: await readJson(path, 'generation_config.json'),
    tokenizer,
    tokenizerConfig,
    specialTokensMap: await readJson(path, 'special_tokens_map.json'),
    chatTemplate: (await readText(path, 'chat_template.jinja')) ?? templateOf(tokenizerConfig?.chat_template),
    weights,
  };
}

/** tokenizer_config.json holds one template, or a list of named ones of which "default" is for plain chats. */
function templateOf(entry: unknown): string | null {
  if (typeof entry === 'string') return entry;
  if (!Array.isArray(entry)) return null;
  const named = entry.find((item: { name?: unknown } | null) => item?.name === 'default') as
    | { template?: unknown }
    | undefined;
  return typeof named?.template === 'string' ? named.template : null;
}

function missing(path: string, name: string, advice: string): ModelError {
  return new ModelError('FILE_NOT_FOUND', `${path} has no ${name}; ${advice}`);
}
