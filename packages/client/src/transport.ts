import { ErrataError } from '@errata/contracts';
import { eventData, failureOf } from './events.js';
import { errorOf, parseJson } from './problem.js';

/** Waits between attempts in milliseconds: this, doubled each time, with up to half of it added at random. */
const firstPauseMs = 200;
const longestPauseMs = 5000;

export interface TransportOptions {
  readonly baseUrl: string;
  readonly fetch: typeof fetch;
  readonly apiKey: string | undefined;
  /** How often a failed request that may be repeated is tried again. */
  readonly retries: number;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface ApiRequest extends CallOptions {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly json?: unknown;
  /** A form brings its type with it. */
  readonly body?:
    | { readonly data: string | Uint8Array<ArrayBuffer>; readonly type: string }
    | { readonly data: FormData };
  readonly idempotencyKey?: string;
  /** Whether a second arrival of the request does no harm. */
  readonly repeatable: boolean;
}

/** A schema of `@errata/contracts`. */
export interface Schema<T> {
  safeParse(value: unknown): { success: true; data: T } | { success: false; error: { message: string } };
}

/** Sends requests and reads answers. All failures are `ErrataError`; an API that is not there is `NOT_READY`. */
export interface Transport {
  json<T>(request: ApiRequest, schema: Schema<T>): Promise<T>;
  text(request: ApiRequest): Promise<string>;
  /** The body as it comes. A failure is not tried again once it has begun. */
  bytes(request: ApiRequest): AsyncGenerator<Uint8Array, void, undefined>;
  /** Server-sent events up to `[DONE]`. A failure is not tried again once the first has come. */
  events<T>(request: ApiRequest, schema: Schema<T>): AsyncGenerator<T, void, undefined>;
}

export function createTransport(options: TransportOptions): Transport {
  const base = options.baseUrl.replace(/\/+$/, '');
  if (!URL.canParse(base)) throw new ErrataError('INVALID_REQUEST', `baseUrl ${JSON.stringify(base)} is not a URL`);

  async function attempt(request: ApiRequest): Promise<{ response: Response; url: string }> {
    const url = `${base}${request.path}${queryOf(request.query)}`;
    const headers: Record<string, string> = { accept: 'application/json' };
    if (options.apiKey !== undefined) headers.authorization = `Bearer ${options.apiKey}`;
    if (request.idempotencyKey !== undefined) headers['idempotency-key'] = request.idempotencyKey;
    if (request.json !== undefined) headers['content-type'] = 'application/json';
    if (request.body && 'type' in request.body) headers['content-type'] = request.body.type;
    const body = request.json === undefined ? request.body?.data : JSON.stringify(request.json);
    let response: Response;
    try {
      response = await options.fetch(url, {
        method: request.method,
        headers,
        ...(body !== undefined && { body }),
        ...(request.signal && { signal: request.signal }),
      });
    } catch (error) {
      throw request.signal?.aborted ? cancelled(request.signal) : unreachable(base, error);
    }
    if (!response.ok) throw Object.assign(await errorOf(response, url), { retryAfterMs: retryAfterOf(response) });
    return { response, url };
  }

  /** @param read takes what it needs of the answer; its failure counts as one of the request */
  async function send<Result>(
    request: ApiRequest,
    read: (response: Response) => Promise<Result>,
  ): Promise<{ result: Result; url: string }> {
    for (let tries = 0; ; tries++) {
      try {
        if (request.signal?.aborted) throw cancelled(request.signal);
        const { response, url } = await attempt(request);
        return { result: await read(response), url };
      } catch (error) {
        if (!(error instanceof ErrataError) || !error.retryable || !request.repeatable || tries >= options.retries)
          throw error;
        const asked = 'retryAfterMs' in error && typeof error.retryAfterMs === 'number' ? error.retryAfterMs : 0;
        const pause = Math.min(longestPauseMs, firstPauseMs * 2 ** tries) * (1 + Math.random() / 2);
        await sleep(Math.max(asked, pause), request.signal);
      }
    }
  }

  const textOf = (request: ApiRequest) =>
    send(request, (response) => readText(response, request.signal, base)).then(({ result, url }) => ({
      text: result,
      url,
    }));

  return {
    async json(request, schema) {
      const { text, url } = await textOf(request);
      return checked(parseJson(text), schema, url);
    },
    async text(request) {
      return (await textOf(request)).text;
    },
    async *bytes(request) {
      const { result: response } = await send(request, async (response) => response);
      try {
        for await (const chunk of response.body ?? []) yield chunk;
      } catch (error) {
        throw request.signal?.aborted ? cancelled(request.signal) : unreachable(base, error);
      }
    },
    async *events(request, schema) {
      const { result: response, url } = await send(request, async (response) => response);
      if (!response.body) throw new ErrataError('INTERNAL', `${url} answered without a body`);
      try {
        for await (const data of eventData(response.body)) {
          if (data === '[DONE]') return;
          const value = parseJson(data);
          const failure = failureOf(value);
          if (failure) throw failure;
          yield checked(value, schema, url);
        }
      } catch (error) {
        if (error instanceof ErrataError) throw error;
        throw request.signal?.aborted ? cancelled(request.signal) : unreachable(base, error);
      }
      throw new ErrataError('NOT_READY', `${url} broke off before the end of its answer`);
    },
  };
}

function checked<T>(value: unknown, schema: Schema<T>, url: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new ErrataError(
    'INTERNAL',
    `${url} answered something else than its contract says (client and server of different versions?): ${result.error.message}`,
  );
}

/** Resolves after a time. @throws CANCELLED when the signal aborts first */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(cancelled(signal));
      return;
    }
    const onAbort = () => {
      clearTimeout(timer);
      reject(cancelled(signal!));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

async function readText(response: Response, signal: AbortSignal | undefined, base: string): Promise<string> {
  try {
    return await response.text();
  } catch (error) {
    throw signal?.aborted ? cancelled(signal) : unreachable(base, error);
  }
}

function cancelled(signal: AbortSignal): ErrataError {
  return new ErrataError('CANCELLED', 'The call was cancelled', { cause: signal.reason });
}

function unreachable(base: string, error: unknown): ErrataError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : String(cause);
  return new ErrataError('NOT_READY', `The API at ${base} is not reachable: ${code}`, { cause: error });
}

/** Milliseconds that a Retry-After header in seconds asks for. */
function retryAfterOf(response: Response): number {
  const seconds = Number(response.headers.get('retry-after') ?? 0);
  return Number.isFinite(seconds) ? Math.min(seconds * 1000, 30_000) : 0;
}

function queryOf(query: ApiRequest['query']): string {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== undefined);
  return given.length === 0
    ? ''
    : `?${new URLSearchParams(given.map(([name, value]): [string, string] => [name, String(value)]))}`;
}
