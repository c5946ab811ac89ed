import { ErrataError } from '@errata/contracts';

/** An answer that is no success. */
export interface Refusal {
  readonly status: number;
  /** Code of the error in the body (S3 API reference, "Error responses"); empty where there is none. */
  readonly code: string;
  readonly message: string;
}

/** Codes that pass by themselves, whatever their status. */
const passing = new Set(['RequestTimeout', 'SlowDown', 'InternalError', 'ServiceUnavailable', 'OperationAborted']);
/** What arrived was not what was sent: on its way back or forth it was changed. */
const garbled = new Set(['BadDigest', 'XAmzContentSHA256Mismatch', 'XAmzContentChecksumMismatch', 'IncompleteBody']);

/** Reads an error document. */
export function refusalOf(status: number, body: string): Refusal {
  const part = (name: string) => new RegExp(`<${name}>([^<]*)</${name}>`).exec(body)?.[1] ?? '';
  return { status, code: part('Code'), message: part('Message') };
}

/** Whether the same request may succeed later. */
export function passes({ status, code }: Refusal): boolean {
  return status >= 500 || status === 429 || status === 408 || passing.has(code) || garbled.has(code);
}

/** The refusal as an error of the system's boundaries: what passes is NOT_READY, what does not STORAGE_REFUSED. */
export function storageError(where: string, refusal: Refusal): ErrataError {
  const { status, code, message } = refusal;
  const said = `${where}: ${[code || `status ${status}`, message].filter(Boolean).join(', ')}`;
  if (passes(refusal)) return new ErrataError('NOT_READY', `the object storage does not answer well (${said})`);
  switch (code) {
    case 'NoSuchBucket':
      return new ErrataError('STORAGE_REFUSED', `the bucket is not there (${said}): make it, or correct its name`);
    case 'ExpiredToken':
    case 'RequestExpired':
    case 'TokenRefreshRequired':
      return new ErrataError('STORAGE_REFUSED', `the credentials have expired (${said}): renew them`);
    default:
      return new ErrataError(
        'STORAGE_REFUSED',
        `the object storage refuses (${said})${status === 403 ? ': check credentials, permissions and the clock' : ''}`,
      );
  }
}
