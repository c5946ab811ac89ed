import { ErrataError } from '@errata/contracts';
import { ModelError } from '@errata/model';

/** No room on the device, over a quota, or over the largest file a process may write. */
const fullCodes = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);
const closedCodes = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOTDIR']);

/** What went wrong as an error of the system's boundaries. */
export function toExportError(error: unknown): unknown {
  if (error instanceof ErrataError || !(error instanceof Error)) return error;
  if (error instanceof ModelError)
    return new ErrataError('EXPORT_UNSUPPORTED', `the base model cannot be read again: ${error.message}`, {
      cause: error,
    });
  const { code } = error as NodeJS.ErrnoException;
  if (code !== undefined && fullCodes.has(code))
    return new ErrataError('DISK_FULL', `the disk is full: ${error.message}; make room and export again`, {
      cause: error,
    });
  if (code !== undefined && closedCodes.has(code))
    return new ErrataError('EXPORT_UNSUPPORTED', `EXPORT_DIR cannot be written to: ${error.message}`, { cause: error });
  return error;
}
