import { ErrataError, errorClasses, type OpenAiError, type Problem, toErrataError } from '@errata/contracts';
import type { ErrorRequestHandler } from 'express';
import type { Log } from '../deps.js';

/** Seconds a client should wait before it tries again. */
const retryAfter = 2;

/** The RFC 9457 form of an error. What went wrong inside is kept for the log. */
export function problemOf(error: ErrataError, requestId: string): Problem {
  const { title } = errorClasses[error.code];
  return {
    type: `urn:errata:problem:${error.code.toLowerCase().replaceAll('_', '-')}`,
    title,
    status: error.status,
    detail: detailOf(error, requestId),
    code: error.code,
    retryable: error.retryable,
    ...(error.details.length > 0 && { errors: [...error.details] }),
  };
}

/** The form of an error that clients of OpenAI read. */
export function openAiErrorOf(error: ErrataError, requestId: string): OpenAiError {
  return {
    message: detailOf(error, requestId),
    type: error.status < 500 ? 'invalid_request_error' : 'server_error',
    param: error.details[0]?.field ?? null,
    code: error.code,
  };
}

function detailOf(error: ErrataError, requestId: string): string {
  return error.code === 'INTERNAL'
    ? `An internal error; the log has it under the request id ${requestId}`
    : error.message;
}

interface RequestNames {
  readonly requestId: string;
  readonly method: string;
  readonly path: string;
}

/** What went wrong, logged. */
export function failureOf(raw: unknown, request: RequestNames, log: Log): ErrataError {
  const error = classify(raw);
  const fields = { ...request, code: error.code };
  // A part that is away tells its own log why; here its message is enough.
  if (error.status === 503) log.warn({ ...fields, reason: error.message }, 'request failed');
  else if (error.status >= 500) log.error({ ...fields, err: error }, 'request failed');
  else log.debug(fields, 'request refused');
  return error;
}

/** The one place where an error becomes an answer. */
export function problemHandler(log: Log): ErrorRequestHandler {
  return (raw, request, response, next) => {
    const requestId = String(response.getHeader('x-request-id') ?? '');
    const error = failureOf(raw, { requestId, method: request.method, path: request.path }, log);
    if (response.headersSent) {
      next(raw);
      return;
    }
    const hasBody = Boolean(request.headers['transfer-encoding'] ?? Number(request.headers['content-length'] ?? 0));
    if (error.status === 503) response.setHeader('Retry-After', retryAfter);
    if (hasBody && !request.complete) response.setHeader('Connection', 'close');
    response
      .status(error.status)
      .type('application/problem+json')
      .send(
        JSON.stringify({
          ...problemOf(error, requestId),
          ...(response.locals.openAi === true && { error: openAiErrorOf(error, requestId) }),
        }),
      );
  };
}

function classify(raw: unknown): ErrataError {
  if (raw instanceof ErrataError) return raw;
  const gone = raw instanceof Error && (raw.name === 'AbortError' || ('code' in raw && raw.code === 'ECONNRESET'));
  if (gone) return new ErrataError('CANCELLED', 'The client went away', { cause: raw });
  const status = typeof raw === 'object' && raw !== null && 'status' in raw ? raw.status : undefined;
  if (raw instanceof Error && typeof status === 'number' && status >= 400 && status < 500)
    return new ErrataError('INVALID_REQUEST', raw.message, { cause: raw });
  return toErrataError(raw);
}
