/** Codes of {@link RlsError}. */
export type RlsErrorCode =
  | 'INVALID_TENSOR'
  | 'ILL_CONDITIONED'
  | 'REVOKE_ILL_CONDITIONED'
  | 'UNKNOWN_COLUMN'
  | 'LOG_MISMATCH';

/** What the algebra refuses, with the offending figure in the message. */
export class RlsError extends Error {
  override readonly name = 'RlsError';
  readonly code: RlsErrorCode;

  constructor(code: RlsErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
