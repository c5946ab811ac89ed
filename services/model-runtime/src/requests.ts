import { type EditorConfig, ErrataError, editorConfigSchema } from '@errata/contracts';
import type { EditText } from '@errata/editor';
import { type Model, ModelError } from '@errata/model';
import type { EditText as EditMessage } from '@errata/rpc';
import { TensorError } from '@errata/tensor';

/** Most edits or prompts of one request. */
const maxItems = 4096;

/** The editor configuration of a request. @throws INVALID_REQUEST */
export function parseConfig(json: string, model: Model): EditorConfig {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new ErrataError('INVALID_REQUEST', 'config_json is not JSON', { cause });
  }
  const parsed = editorConfigSchema.safeParse(value);
  if (!parsed.success)
    throw new ErrataError('INVALID_REQUEST', `config_json: ${parsed.error.issues[0].message}`, { cause: parsed.error });
  for (const layer of parsed.data.layers) checkLayer(layer, model);
  return parsed.data;
}

/** @throws INVALID_REQUEST */
export function checkLayer(layer: number, model: Model): void {
  if (layer >= model.config.layers)
    throw new ErrataError('INVALID_REQUEST', `layer ${layer} does not exist: the model has ${model.config.layers}`);
}

/** @throws INVALID_REQUEST for none or too many */
export function checkCount(what: string, count: number): void {
  if (count === 0) throw new ErrataError('INVALID_REQUEST', `the request holds no ${what}`);
  if (count > maxItems)
    throw new ErrataError('INVALID_REQUEST', `the request holds ${count} ${what}, at most ${maxItems} are allowed`);
}

/** Edits of a message. @throws INVALID_REQUEST naming the edit */
export function parseEdits(edits: readonly EditMessage[]): EditText[] {
  checkCount('edits', edits.length);
  return edits.map(({ editId, prompt, subject, target }) => {
    const refuse = (why: string): never => {
      throw new ErrataError('INVALID_REQUEST', `edit ${editId}: ${why}`);
    };
    if (prompt.trim() === '') refuse('the prompt is empty');
    if (subject !== '' && subject.trim() === '') refuse('the subject is blank');
    if (subject !== '' && prompt.split('{}').length !== 2)
      refuse('the prompt must hold {} once, where the subject goes');
    return { prompt, subject: subject === '' ? undefined : subject, target };
  });
}

/** Errors of the model and of the engine as those of this boundary. */
export function asRequestError(error: unknown): unknown {
  if (error instanceof TensorError) {
    // The process ends with its device and is started again.
    const code = error.code === 'DEVICE_LOST' ? 'NOT_READY' : error.code;
    return new ErrataError(code, error.message, { cause: error });
  }
  if (!(error instanceof ModelError)) return error;
  switch (error.code) {
    case 'PROMPT_TOO_LONG':
    case 'EMPTY_TOKENS':
    case 'INVALID_SAMPLING':
    case 'NO_CHAT_TEMPLATE':
    case 'CHAT_REFUSED':
      return new ErrataError('INVALID_REQUEST', error.message, { cause: error });
    case 'FILE_NOT_FOUND':
    case 'FILE_TRUNCATED':
    case 'FILE_MALFORMED':
    case 'UNSUPPORTED_FORMAT':
    case 'UNSUPPORTED_ARCHITECTURE':
    case 'NOT_A_NUMBER':
      return new ErrataError('INTERNAL', error.message, { cause: error });
  }
}
