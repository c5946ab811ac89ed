import { ErrataError, isErrorCode, problemSchema } from '@errata/contracts';

/** The error of a failed answer: its problem+json, or `INTERNAL` when something else than Errata answered. */
export async function errorOf(response: Response, url: string): Promise<ErrataError> {
  const text = await response.text().catch(() => '');
  const problem = problemSchema.safeParse(parseJson(text));
  if (!problem.success)
    return new ErrataError(
      [502, 503, 504].includes(response.status) ? 'NOT_READY' : response.status < 500 ? 'INVALID_REQUEST' : 'INTERNAL',
      `${url} answered ${response.status} without saying why: is this the address of an Errata API?`,
    );
  const { code, detail, errors } = problem.data;
  if (!isErrorCode(code)) return new ErrataError('INTERNAL', `${code}: ${detail}`);
  return new ErrataError(code, detail, { details: errors ?? [] });
}

/** The value of a JSON text; undefined when it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
