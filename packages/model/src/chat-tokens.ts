import type { FolderFiles, ModelFiles } from './model-files.js';

/** Texts of the tokens that a text begins and ends with, as chat templates write them; empty where the model has none. */
export interface ChatTokens {
  readonly bos: string;
  readonly eos: string;
}

/** What a model's files name: what Hugging Face gives a template as `bos_token` and `eos_token`. */
export function chatTokensOf(files: ModelFiles): ChatTokens {
  switch (files.kind) {
    case 'gguf':
      return { bos: ggufText(files.metadata, 'bos'), eos: ggufText(files.metadata, 'eos') };
    case 'folder':
      return { bos: folderText(files, 'bos'), eos: folderText(files, 'eos') };
  }
}

function ggufText(metadata: ReadonlyMap<string, unknown>, which: 'bos' | 'eos'): string {
  const id = metadata.get(`tokenizer.ggml.${which}_token_id`);
  const tokens = metadata.get('tokenizer.ggml.tokens');
  const text = Array.isArray(tokens) && id !== undefined ? (tokens as unknown[])[Number(id)] : undefined;
  return typeof text === 'string' ? text : '';
}

/** A file that says there is none (null) ends the search: Qwen has no token that texts begin with. */
function folderText(files: FolderFiles, which: 'bos' | 'eos'): string {
  for (const file of [files.tokenizerConfig, files.specialTokensMap]) {
    const entry = file?.[`${which}_token`];
    if (entry !== undefined) return textOf(entry);
  }
  for (const file of [files.generationConfig, files.config]) {
    const given = file?.[`${which}_token_id`];
    // Models that may end in several ways list them, the plain one first.
    const id = Array.isArray(given) ? (given as unknown[])[0] : given;
    if (typeof id === 'number') return addedText(files.tokenizer, id);
  }
  return '';
}

/** A token is written as its text, or as an object with how it is matched. */
function textOf(entry: unknown): string {
  if (typeof entry === 'string') return entry;
  const content = (entry as { content?: unknown } | null)?.content;
  return typeof content === 'string' ? content : '';
}

function addedText(tokenizer: unknown, id: number): string {
  const added = (tokenizer as { added_tokens?: unknown } | null)?.added_tokens;
  if (!Array.isArray(added)) return '';
  return textOf(added.find((token: { id?: unknown } | null) => token?.id === id));
}
