import { ErrataError } from '@errata/contracts';
import { checkLength, checkTokens, type Model, ModelError } from '@errata/model';

/** An edit as text. Without a subject the edit is written at the last token of the prompt. */
export interface EditText {
  /** Holds {} once where the subject goes, when there is one. */
  readonly prompt: string;
  readonly subject?: string | undefined;
  readonly target: string;
}

/** A prompt as tokens behind the sink, and the index of the token where the edit is written. */
export interface LocatedPrompt {
  readonly ids: number[];
  readonly lookup: number;
}

/**
 * Puts an edit's prompt into a context template and finds its lookup position: the last token that holds a character
 * of the subject (white space at the subject's end aside), also where that token reaches past the subject.
 * @throws ModelError PROMPT_TOO_LONG, EMPTY_TOKENS
 * @throws ErrataError INVALID_REQUEST where a subject is given and the prompt has no place for it
 */
export function locate(model: Model, template: string, edit: Pick<EditText, 'prompt' | 'subject'>): LocatedPrompt {
  const [contextBefore, contextAfter] = splitAtHole(template);
  if (edit.subject === undefined || edit.subject === '') return find(model, contextBefore, edit.prompt, contextAfter);
  if (!edit.prompt.includes('{}'))
    throw new ErrataError(
      'INVALID_REQUEST',
      `the prompt ${JSON.stringify(edit.prompt.slice(0, 60))} does not hold its subject: write {} where ${JSON.stringify(edit.subject.slice(0, 60))} stands`,
    );
  const [before, after] = splitAtHole(edit.prompt);
  return find(model, contextBefore + before, edit.subject, after + contextAfter);
}

/** The prompt on which an edit must not change what the model says about its subject, cut after the lookup position. */
export function locateEssence(model: Model, edit: Pick<EditText, 'prompt' | 'subject'>): LocatedPrompt {
  const { ids, lookup } = edit.subject
    ? find(model, '', edit.subject, ' is a')
    : locate(model, '{}', { prompt: edit.prompt });
  return { ids: ids.slice(0, lookup + 1), lookup };
}

function splitAtHole(text: string): [string, string] {
  const at = text.indexOf('{}');
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 2)];
}

function find(model: Model, before: string, middle: string, after: string): LocatedPrompt {
  const text = before + middle + after;
  checkLength(model, text);
  const start = before.length;
  const end = start + middle.trimEnd().length;
  const encoding = model.tokenizer.encode(text);
  let lookup = -1;
  for (let i = 0; i < encoding.ids.length; i++) if (encoding.starts[i] < end && encoding.ends[i] > start) lookup = i;
  if (lookup < 0)
    throw new ModelError('EMPTY_TOKENS', `no token of ${JSON.stringify(text.slice(0, 60))} holds the subject`);
  checkTokens(model, encoding.ids.length + 1, text);
  return { ids: [model.sinkId, ...encoding.ids], lookup: lookup + 1 };
}
