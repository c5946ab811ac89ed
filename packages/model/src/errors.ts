/** Why a model file or a piece of text was refused. */
export type ModelErrorCode =
  | 'FILE_NOT_FOUND'
  | 'FILE_TRUNCATED'
  | 'FILE_MALFORMED'
  | 'UNSUPPORTED_FORMAT'
  | 'UNSUPPORTED_ARCHITECTURE'
  | 'PROMPT_TOO_LONG'
  | 'EMPTY_TOKENS'
  | 'INVALID_SAMPLING'
  | 'NOT_A_NUMBER'
  | 'NO_CHAT_TEMPLATE'
  | 'CHAT_REFUSED';

/** The error of this package. Messages name the offending file, tensor or text. */
export class ModelError extends Error {
  override readonly name = 'ModelError';
  readonly code: ModelErrorCode;

  constructor(code: ModelErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
