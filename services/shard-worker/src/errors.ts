import { ErrataError, type ErrorCode, toErrataError } from '@errata/contracts';
import { RlsError, type RlsErrorCode } from '@errata/rls';
import { TensorError, type TensorErrorCode } from '@errata/tensor';

const rlsCodes = {
  INVALID_TENSOR: 'INVALID_TENSOR',
  ILL_CONDITIONED: 'ILL_CONDITIONED',
  REVOKE_ILL_CONDITIONED: 'REVOKE_ILL_CONDITIONED',
  UNKNOWN_COLUMN: 'EDIT_NOT_REVOCABLE',
  LOG_MISMATCH: 'LOG_CORRUPT',
} as const satisfies Record<RlsErrorCode, ErrorCode>;

const tensorCodes = {
  INVALID_TENSOR: 'INVALID_TENSOR',
  ILL_CONDITIONED: 'ILL_CONDITIONED',
  OUT_OF_MEMORY: 'OUT_OF_MEMORY',
  // The engine thread ends with its device and is started again.
  DEVICE_LOST: 'NOT_READY',
} as const satisfies Record<TensorErrorCode, ErrorCode>;

/** An error of the algebra or the engine as one of the boundary. @param subject the shard it happened in */
export function asErrataError(error: unknown, subject: string): ErrataError {
  if (error instanceof RlsError)
    return new ErrataError(rlsCodes[error.code], `${subject}: ${error.message}`, { cause: error });
  if (error instanceof TensorError) {
    const settings = error.code === 'OUT_OF_MEMORY' ? ' (SHARD_MEMORY_BYTES, SHARD_SCRATCH_DIR, rowShards)' : '';
    return new ErrataError(tensorCodes[error.code], `${subject}: ${error.message}${settings}`, { cause: error });
  }
  return toErrataError(error);
}
