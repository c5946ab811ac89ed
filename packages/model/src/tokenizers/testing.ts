import type { FolderFiles } from '../model-files.js';
import { fixture } from '../testing.js';
import { folderTokenizer } from './from-json.js';
import type { PipelineTokenizer } from './pipeline.js';

/** The families of fixtures/tokenizers whose own pipelines the files hold; `odd` has every option beside theirs. */
export const families = [
  'gpt2',
  'neox',
  'smollm2',
  'llama2',
  'llama3',
  'qwen3',
  'mistral',
  'tekken',
  'gemma',
  'odd',
] as const;
export type Family = (typeof families)[number];

/** A text, and what Hugging Face's tokenizers make of it. */
export interface Case {
  readonly text: string;
  readonly ids: number[];
  readonly starts: number[];
  readonly ends: number[];
  readonly decoded: string;
}

/** The parts of tokenizer.json that tests look at or change. */
export interface TokenizerJson {
  added_tokens: { id: number; content: string; special: boolean; normalized: boolean }[];
  normalizer: unknown;
  pre_tokenizer: unknown;
  decoder: unknown;
  post_processor: unknown;
  model: { type?: string; vocab: Record<string, unknown>; merges: unknown[]; [option: string]: unknown };
}

/** A fixture of a family. */
export interface FamilyFixture {
  readonly tokenizer: TokenizerJson;
  readonly cases: readonly Case[];
  /** Of SentencePiece vocabularies, by id. */
  readonly scores?: readonly number[];
}

/** A copy of a family's fixture. */
export function familyFixture(family: Family): FamilyFixture {
  return fixture<FamilyFixture>(`tokenizers/${family}.json`);
}

/** The tokenizer of a folder with this tokenizer.json. */
export function fromJson(
  tokenizer: unknown,
  others: Partial<Pick<FolderFiles, 'config' | 'generationConfig' | 'tokenizerConfig'>> = {},
): PipelineTokenizer {
  return folderTokenizer({
    path: 'folder',
    config: {},
    generationConfig: null,
    tokenizerConfig: null,
    ...others,
    tokenizer,
  });
}

/** The metadata that a GGUF converter writes for a tokenizer.json. */
export function ggufMetadata({ tokenizer, scores }: FamilyFixture, pre: string): Map<string, unknown> {
  const added = new Map(tokenizer.added_tokens.map((token) => [token.id, token]));
  const byId = new Map(Object.entries(tokenizer.model.vocab).map(([token, id]) => [id as number, token]));
  for (const { id, content } of tokenizer.added_tokens) byId.set(id, content);
  const tokens = Array.from({ length: byId.size }, (_, id) => byId.get(id) as string);
  const types = tokens.map((token, id) => {
    if (token === '<unk>') return 2;
    if (added.has(id)) return added.get(id)?.special ? 3 : 4;
    return scores && /^<0x..>$/.test(token) ? 6 : 1;
  });
  const metadata = new Map<string, unknown>([
    ['tokenizer.ggml.model', scores ? 'llama' : 'gpt2'],
    ['tokenizer.ggml.pre', pre],
    ['tokenizer.ggml.tokens', tokens],
    ['tokenizer.ggml.token_type', types],
  ]);
  if (scores)
    metadata.set(
      'tokenizer.ggml.scores',
      tokens.map((_, id) => scores[id] ?? 0),
    );
  else
    metadata.set(
      'tokenizer.ggml.merges',
      (tokenizer.model.merges as string[][]).map((merge) => merge.join(' ')),
    );
  return metadata;
}
