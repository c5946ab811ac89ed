/** How a failure is classed; decides the HTTP status, the gRPC code and whether a retry can help. */
interface ErrorClass {
  readonly status: number;
  /** Name of the gRPC status code. */
  readonly grpc: string;
  readonly retryable: boolean;
  readonly title: string;
}

const table = {
  INVALID_REQUEST: { status: 400, grpc: 'INVALID_ARGUMENT', retryable: false, title: 'The request is not valid' },
  MALFORMED_NDJSON: {
    status: 400,
    grpc: 'INVALID_ARGUMENT',
    retryable: false,
    title: 'A line of the stream is not a valid edit',
  },
  PAYLOAD_TOO_LARGE: { status: 413, grpc: 'RESOURCE_EXHAUSTED', retryable: false, title: 'The request is too large' },
  UNSUPPORTED_MEDIA_TYPE: {
    status: 415,
    grpc: 'INVALID_ARGUMENT',
    retryable: false,
    title: 'The media type is not supported',
  },
  UNKNOWN_ROUTE: { status: 404, grpc: 'NOT_FOUND', retryable: false, title: 'No such route' },
  METHOD_NOT_ALLOWED: {
    status: 405,
    grpc: 'UNIMPLEMENTED',
    retryable: false,
    title: 'The route does not have this method',
  },
  UNKNOWN_MODEL: { status: 404, grpc: 'NOT_FOUND', retryable: false, title: 'No runtime serves this model' },
  UNKNOWN_STREAM: { status: 404, grpc: 'NOT_FOUND', retryable: false, title: 'No such stream' },
  UNKNOWN_EDIT: { status: 404, grpc: 'NOT_FOUND', retryable: false, title: 'No such edit' },
  UNKNOWN_CHECKPOINT: { status: 404, grpc: 'NOT_FOUND', retryable: false, title: 'No such checkpoint' },
  UNKNOWN_EVALUATION: { status: 404, grpc: 'NOT_FOUND', retryable: false, title: 'No such evaluation' },
  UNKNOWN_REVOCATION: { status: 404, grpc: 'NOT_FOUND', retryable: false, title: 'No such revocation' },
  UNKNOWN_CORPUS: { status: 404, grpc: 'NOT_FOUND', retryable: false, title: 'No such corpus' },
  UNKNOWN_CANARY: { status: 404, grpc: 'NOT_FOUND', retryable: false, title: 'No such canary' },
  UNKNOWN_ADAPTER: { status: 404, grpc: 'NOT_FOUND', retryable: false, title: 'No such adapter' },
  UNKNOWN_PUBLICATION: { status: 404, grpc: 'NOT_FOUND', retryable: false, title: 'No such publication' },
  UNKNOWN_TARGET: { status: 404, grpc: 'NOT_FOUND', retryable: false, title: 'No such server to publish to' },
  UNKNOWN_EXPORT: { status: 404, grpc: 'NOT_FOUND', retryable: false, title: 'No such export' },
  UNKNOWN_POSITION: { status: 404, grpc: 'NOT_FOUND', retryable: false, title: 'The log has no such position' },
  POSITION_COLLECTED: {
    status: 410,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    title: 'The position was collected',
  },
  IDEMPOTENCY_CONFLICT: {
    status: 409,
    grpc: 'ALREADY_EXISTS',
    retryable: false,
    title: 'The Idempotency-Key was used with another body',
  },
  CORPUS_IN_USE: { status: 409, grpc: 'FAILED_PRECONDITION', retryable: false, title: 'Streams name the corpus' },
  ADAPTER_IN_USE: {
    status: 409,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    title: 'Streams begin with the adapter',
  },
  ADAPTER_REFUSED: {
    status: 422,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    title: 'The adapter cannot be taken',
  },
  MERGE_CONFLICT: {
    status: 409,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    title: 'Both streams changed the same edits',
  },
  NAME_TAKEN: { status: 409, grpc: 'ALREADY_EXISTS', retryable: false, title: 'The name is taken' },
  EDIT_NOT_REVOCABLE: {
    status: 409,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    title: 'The edit is not in the weights',
  },
  EDIT_NOT_ON_LINEAGE: {
    status: 409,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    title: 'The head does not build on the edit',
  },
  REVOCATION_ENDED: {
    status: 409,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    title: 'The revocation has ended',
  },
  REVOKE_ILL_CONDITIONED: {
    status: 409,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    title: 'The edit cannot be taken out exactly',
  },
  ILL_CONDITIONED: {
    status: 422,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    title: 'The covariance is too ill-conditioned',
  },
  LOG_CONFLICT: {
    status: 409,
    grpc: 'ABORTED',
    retryable: false,
    title: 'The log already holds other bytes at this position',
  },
  STALE_EPOCH: { status: 409, grpc: 'FAILED_PRECONDITION', retryable: true, title: 'The shard has another owner now' },
  SEQUENCE_GAP: {
    status: 409,
    grpc: 'FAILED_PRECONDITION',
    retryable: true,
    title: 'The log has a gap before this position',
  },
  LOG_CORRUPT: { status: 500, grpc: 'DATA_LOSS', retryable: false, title: 'The log does not match its hash' },
  OUT_OF_MEMORY: {
    status: 507,
    grpc: 'RESOURCE_EXHAUSTED',
    retryable: false,
    title: 'The work does not fit into the memory allowed for it',
  },
  EXPORT_EXISTS: {
    status: 409,
    grpc: 'ALREADY_EXISTS',
    retryable: false,
    title: 'Another export is at the destination',
  },
  EXPORT_UNSUPPORTED: {
    status: 422,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    title: 'The model cannot be exported this way',
  },
  EXPORT_IN_USE: {
    status: 409,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    title: 'A published adapter is in this folder',
  },
  ALIAS_MOVED: { status: 409, grpc: 'ABORTED', retryable: false, title: 'The alias moved meanwhile' },
  PUBLISH_REFUSED: {
    status: 502,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    title: 'The server refused the adapter',
  },
  WEBHOOK_REFUSED: {
    status: 502,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    title: 'The receiver of the webhook refused it, or may not be connected to',
  },
  EDIT_NOT_QUARANTINED: {
    status: 409,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    title: 'The edit is not in quarantine',
  },
  PUBLISH_UNVERIFIED: {
    status: 422,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    title: 'The server does not answer as the stream does',
  },
  STORAGE_REFUSED: {
    status: 502,
    grpc: 'FAILED_PRECONDITION',
    retryable: false,
    title: 'The object storage refused the request',
  },
  DISK_FULL: { status: 507, grpc: 'RESOURCE_EXHAUSTED', retryable: false, title: 'The disk has no room left' },
  INVALID_TENSOR: { status: 400, grpc: 'INVALID_ARGUMENT', retryable: false, title: 'The tensor is not valid' },
  NOT_READY: { status: 503, grpc: 'UNAVAILABLE', retryable: true, title: 'A part of the system is not ready' },
  DEADLINE_EXCEEDED: {
    status: 504,
    grpc: 'DEADLINE_EXCEEDED',
    retryable: true,
    title: 'The work did not finish in time',
  },
  CANCELLED: { status: 499, grpc: 'CANCELLED', retryable: false, title: 'The request was cancelled' },
  INTERNAL: { status: 500, grpc: 'INTERNAL', retryable: true, title: 'Something went wrong inside' },
} as const satisfies Record<string, ErrorClass>;

/** Code of every error that crosses a boundary of the system. */
export type ErrorCode = keyof typeof table;

/** The table behind {@link ErrataError}: HTTP status, gRPC code and retryability of each code. */
export const errorClasses: Readonly<Record<ErrorCode, ErrorClass>> = table;

/** One thing wrong with a request. `line` counts from 1 and is given for NDJSON. */
export interface ErrorDetail {
  readonly line?: number;
  readonly field?: string;
  readonly message: string;
}

/** The error of every boundary: HTTP turns it into problem+json (RFC 9457), gRPC into a status with `errata-code` metadata. */
export class ErrataError extends Error {
  override readonly name = 'ErrataError';
  readonly code: ErrorCode;
  readonly details: readonly ErrorDetail[];

  /**
   * @param message what was wrong, with the offending value and what to do
   */
  constructor(code: ErrorCode, message: string, options: { details?: readonly ErrorDetail[]; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? [];
  }

  get status(): number {
    return table[this.code].status;
  }

  get retryable(): boolean {
    return table[this.code].retryable;
  }
}

/** Whether a string is a code of the table. */
export function isErrorCode(value: string): value is ErrorCode {
  return Object.hasOwn(table, value);
}

/** The error as an {@link ErrataError}; anything unknown becomes `INTERNAL` with its cause kept. */
export function toErrataError(error: unknown): ErrataError {
  if (error instanceof ErrataError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new ErrataError('INTERNAL', message, { cause: error });
}
