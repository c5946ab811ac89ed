import { ErrataError, errorClasses, isErrorCode, toErrataError } from '@errata/contracts';
import { Metadata, type ServiceError, type StatusObject, status } from '@grpc/grpc-js';

const codeKey = 'errata-code';

/** The gRPC status of an error: its class decides the code, the metadata `errata-code` carries the exact one. */
export function toStatus(error: unknown): StatusObject {
  const known = toErrataError(error);
  const metadata = new Metadata();
  metadata.set(codeKey, known.code);
  return { code: status[errorClasses[known.code].grpc as keyof typeof status], details: known.message, metadata };
}

/** The error a peer meant. Failures of the transport become `NOT_READY` (retryable), `DEADLINE_EXCEEDED` or `CANCELLED`. */
export function fromServiceError(error: ServiceError, peer: string): ErrataError {
  const code = error.metadata?.get(codeKey)[0];
  if (typeof code === 'string' && isErrorCode(code)) return new ErrataError(code, error.details, { cause: error });
  switch (error.code) {
    case status.UNAVAILABLE:
      return new ErrataError('NOT_READY', `${peer} is not reachable: ${error.details}`, { cause: error });
    case status.DEADLINE_EXCEEDED:
      return new ErrataError('DEADLINE_EXCEEDED', `${peer} did not answer in time`, { cause: error });
    case status.CANCELLED:
      return new ErrataError('CANCELLED', `the call to ${peer} was cancelled`, { cause: error });
    default:
      return new ErrataError('INTERNAL', `${peer} failed: ${error.details}`, { cause: error });
  }
}

/** Whether an error says that no peer was there to answer, rather than what a peer answered. */
export function isUnreachable(error: ErrataError): boolean {
  const cause = error.cause as Partial<ServiceError> | undefined;
  return error.code === 'NOT_READY' && cause?.code === status.UNAVAILABLE && !cause.metadata?.get(codeKey).length;
}
