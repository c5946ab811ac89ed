import { ErrataError, type ErrorCode, toErrataError } from '@errata/contracts';
import { RlsError, type RlsErrorCode } from '@errata/rls';
import { TensorError } from '@errata/tensor';

const codes = {
  INVALID_TENSOR: 'INVALID_TENSOR',
  ILL_CONDITIONED: 'ILL_CONDITIONED',
  REVOKE_ILL_CONDITIONED: 'REVOKE_ILL_CONDITIONED',
  UNKNOWN_COLUMN: 'EDIT_NOT_REVOCABLE',
  LOG_MISMATCH: 'LOG_CORRUPT',
} as const satisfies Record<RlsErrorCode, ErrorCode>;

/** An error of the algebra or the engine as one of the boundary. @param subject the shard it happened in */
export function asErrataError(error: unknown, subject: string): ErrataError {
  if (error instanceof RlsError)
    return new ErrataError(codes[error.code], `${subject}: ${error.message}`, { cause: error });
  if (error instanceof TensorError)
    return new ErrataError(error.code, `${subject}: ${error.message}`, { cause: error });
  return toErrataError(error);
}
