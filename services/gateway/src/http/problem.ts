import { ErrataError, errorClasses, type Problem, toErrataError } from '@errata/contracts';
import type { ErrorRequestHandler } from 'express';
import type { Log } from '../deps.js';

/** Seconds a client should wait before it tries again. */
const retryAfter = 2;

/** The RFC 9457 form of an error. What went wrong inside is kept for the log. */
export function problemOf(error: ErrataError, requestId: string): Problem {
  const { title } = errorClasses[error.code];
  const detail =
    error.code === 'INTERNAL' ? `An internal error; the log has it under the request id ${requestId}` : error.message;
  return {
    type: `urn:errata:problem:${error.code.toLowerCase().replaceAll('_', '-')}`,
    title,
    status: error.status,
    detail,
    code: error.code,
    retryable: error.retryable,
    ...(error.details.length > 0 && { errors: [...error.details] }),
  };
}

/** The one place where an error becomes an answer. */
export function problemHandler(log: Log): ErrorRequestHandler {
  return (raw, request, response, next) => {
    const error = classify(raw);
    const requestId = String(response.getHeader('x-request-id') ?? '');
    const fields = { requestId, method: request.method, path: request.path, code: error.code };
    // A part that is away tells its own log why; here its message is enough.
    if (error.status === 503) log.warn({ ...fields, reason: error.message }, 'request failed');
    else if (error.status >= 500) log.error({ ...fields, err: error }, 'request failed');
    else log.debug(fields, 'request refused');
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
      .send(JSON.stringify(problemOf(error, requestId)));
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
