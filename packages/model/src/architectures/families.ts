import type { ModelConfig } from '../config.js';
import { ModelError } from '../errors.js';
import type { ModelFiles } from '../model-files.js';
import type { Family, TensorNames } from './family.js';
import { folderConfig } from './from-folder.js';
import { ggufConfig } from './from-gguf.js';
import { gemma2, gemma3 } from './gemma.js';
import { gpt2, gptJ, gptNeoX } from './gpt.js';
import { llama, mistral } from './llama.js';
import { qwen2, qwen3 } from './qwen.js';
import { shownValue } from './settings.js';

/** The architectures that are read. */
export const families: readonly Family[] = [llama, mistral, qwen2, qwen3, gemma2, gemma3, gpt2, gptJ, gptNeoX];

/** What a model is and where its weights are. */
export interface Architecture {
  readonly family: Family;
  readonly config: ModelConfig;
  readonly tensors: TensorNames;
}

/**
 * Finds the family of a model and reads its configuration.
 * @throws ModelError UNSUPPORTED_ARCHITECTURE for a family or a feature that is not known, FILE_MALFORMED
 */
export function architectureOf(files: ModelFiles): Architecture {
  switch (files.kind) {
    case 'gguf': {
      const name = files.metadata.get('general.architecture');
      for (const family of families) {
        const { gguf } = family;
        if (gguf !== null && gguf.architecture === name)
          return { family, config: ggufConfig(family, gguf, files), tensors: gguf.tensors };
      }
      throw unknown(
        files.path,
        `general.architecture ${shownValue(name)}`,
        families.flatMap(({ gguf }) => (gguf ? [gguf.architecture] : [])),
      );
    }
    case 'folder': {
      const type = files.config.model_type;
      for (const family of families)
        if (family.folder.modelTypes.includes(type as string))
          return { family, config: folderConfig(family, files), tensors: family.folder.tensors };
      throw unknown(
        files.path,
        `model_type ${shownValue(type)}`,
        families.flatMap(({ folder }) => folder.modelTypes),
      );
    }
  }
}

function unknown(path: string, found: string, supported: readonly string[]): ModelError {
  return new ModelError(
    'UNSUPPORTED_ARCHITECTURE',
    `${path} holds a model of ${found}; supported: ${supported.join(', ')}`,
  );
}
