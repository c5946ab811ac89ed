import type { FolderFiles } from '../model-files.js';
import { bpeModel } from './bpe.js';
import { decoderOf } from './decoders.js';
import { boolean, type JsonObject, list, object, string } from './json.js';
import { normalizerOf } from './normalizers.js';
import { PipelineTokenizer } from './pipeline.js';
import { preTokenizerOf } from './pre-tokenizers.js';
import { malformed, unsupported } from './refusal.js';
import type { AddedToken, WordModel } from './types.js';
import { checkId, endIdsOf, mergeOf, type Vocabulary, vocabularyOf } from './vocabulary.js';

/**
 * The tokenizer of a Hugging Face folder: tokenizer.json, with the beginning and end tokens of the other files. The
 * post-processor is not applied.
 * @throws ModelError UNSUPPORTED_FORMAT, FILE_MALFORMED
 */
export function folderTokenizer(
  files: Pick<FolderFiles, 'path' | 'config' | 'generationConfig' | 'tokenizer' | 'tokenizerConfig'>,
): PipelineTokenizer {
  const path = `${files.path}/tokenizer.json`;
  const root = object(path, 'the root', files.tokenizer);
  const model = object(path, 'the model', root.model);
  const type = model.type ?? (model.merges === undefined ? undefined : 'BPE');
  if (type !== 'BPE') throw unsupported(path, 'a model of type', type, ['BPE']);
  const vocabulary = vocabularyOf(path, Object.entries(object(path, 'the vocabulary', model.vocab)));
  const added = addedTokens(path, root.added_tokens, vocabulary);
  return new PipelineTokenizer({
    tokens: vocabulary.tokens,
    added,
    normalizer: normalizerOf(path, root.normalizer),
    preTokenizer: preTokenizerOf(path, root.pre_tokenizer),
    model: modelOf(path, model, vocabulary),
    decoder: decoderOf(path, root.decoder),
    bosId: bosIdOf(files, root, added, vocabulary),
    endIds: endIdsOf(
      [
        ...[files.generationConfig?.eos_token_id, files.config.eos_token_id].flat(),
        idOf(files.tokenizerConfig?.eos_token, added, vocabulary),
      ],
      added,
    ),
  });
}

function modelOf(path: string, model: JsonObject, { ids }: Vocabulary): WordModel {
  for (const affix of ['continuing_subword_prefix', 'end_of_word_suffix', 'dropout'])
    if (model[affix]) throw unsupported(path, affix, model[affix], ['none']);
  return bpeModel(
    {
      ids,
      merges: list(path, 'merges', model.merges).map((merge) => mergeOf(path, merge)),
      ignoreMerges: boolean(path, 'ignore_merges', model.ignore_merges, false),
      byteFallback: boolean(path, 'byte_fallback', model.byte_fallback, false),
      unknown: unknownOf(path, model, ids),
    },
    path,
  );
}

function unknownOf(
  path: string,
  model: JsonObject,
  ids: ReadonlyMap<string, number>,
): { id: number; fuse: boolean } | null {
  if (model.unk_token === undefined || model.unk_token === null) return null;
  const token = string(path, 'unk_token', model.unk_token);
  const id = ids.get(token);
  if (id === undefined) throw malformed(path, `the unknown token ${JSON.stringify(token)} is not in the vocabulary`);
  return { id, fuse: boolean(path, 'fuse_unk', model.fuse_unk, false) };
}

function addedTokens(path: string, entry: unknown, { ids, tokens }: Vocabulary): AddedToken[] {
  const seen = new Map<number, string>();
  return list(path, 'added_tokens', entry ?? []).map((each) => {
    const token = object(path, 'an added token', each);
    const content = string(path, 'the content of an added token', token.content);
    const id = ids.get(content) ?? checkId(path, content, token.id);
    const other = seen.get(id) ?? tokens.get(id) ?? content;
    if (other !== content)
      throw malformed(path, `the added token ${JSON.stringify(content)} has the id ${id} of ${JSON.stringify(other)}`);
    seen.set(id, content);
    const special = boolean(path, 'special', token.special, false);
    return {
      id,
      content,
      special,
      normalized: boolean(path, 'normalized', token.normalized, !special),
      lstrip: boolean(path, 'lstrip', token.lstrip, false),
      rstrip: boolean(path, 'rstrip', token.rstrip, false),
      singleWord: boolean(path, 'single_word', token.single_word, false),
    };
  });
}

/** Id of a token that a configuration names by its text, or by an object with the text. */
function idOf(named: unknown, added: readonly AddedToken[], { ids }: Vocabulary): number | undefined {
  const content =
    typeof named === 'object' && named !== null ? (named as { readonly content?: unknown }).content : named;
  if (typeof content !== 'string') return undefined;
  return added.find((token) => token.content === content)?.id ?? ids.get(content);
}

/** What the post-processor's template begins with, else what the configurations name. */
function bosIdOf(
  files: Pick<FolderFiles, 'config' | 'generationConfig' | 'tokenizerConfig'>,
  root: JsonObject,
  added: readonly AddedToken[],
  vocabulary: Vocabulary,
): number | null {
  const candidates = [
    idOf(templateStart(root.post_processor), added, vocabulary),
    idOf(files.tokenizerConfig?.bos_token, added, vocabulary),
    files.config.bos_token_id,
    files.generationConfig?.bos_token_id,
  ];
  const known = (id: unknown): id is number =>
    typeof id === 'number' && (vocabulary.tokens.has(id) || added.some((token) => token.id === id));
  return candidates.find(known) ?? null;
}

/** Text of the special token that a post-processor puts first. */
function templateStart(entry: unknown): unknown {
  if (typeof entry !== 'object' || entry === null) return undefined;
  const step = entry as JsonObject;
  if (step.type === 'Sequence' && Array.isArray(step.processors))
    return step.processors.map(templateStart).find((found) => found !== undefined);
  if (step.type !== 'TemplateProcessing' || !Array.isArray(step.single)) return undefined;
  const [first] = step.single as { readonly SpecialToken?: { readonly id?: unknown } }[];
  return first?.SpecialToken?.id;
}
