import { ErrataError } from '@errata/contracts';
import type { Express, Request, Response } from 'express';
import type { GatewayDeps } from '../deps.js';
import { readForm, readJson, readNdjson, readText } from './body.js';
import { sendEvents } from './events.js';
import { failureOf, openAiErrorOf } from './problem.js';
import type { Method, Route } from './route.js';
import { invalid, validate } from './validate.js';

const verbs = { GET: 'get', POST: 'post', PATCH: 'patch', DELETE: 'delete' } as const satisfies Record<Method, string>;
const keyPattern = /^[\x21-\x7e]{1,255}$/;

/** Adds the routes of the table, and for each of their paths the answer to a wrong method. */
export function mountRoutes(app: Express, routes: readonly Route[], deps: GatewayDeps): void {
  for (const route of routes)
    app[verbs[route.method]](expressPath(route.path), (request, response) => answer(route, request, response, deps));
  for (const path of new Set(routes.map((route) => route.path))) {
    const methods = routes.filter((route) => route.path === path).map((route) => route.method);
    const allow = [...methods, ...(methods.includes('GET') ? ['HEAD'] : []), 'OPTIONS'].join(', ');
    app.all(expressPath(path), (request, response) => {
      request.params = {};
      response.setHeader('Allow', allow);
      if (request.method === 'OPTIONS') {
        response.status(204).end();
        return;
      }
      throw new ErrataError('METHOD_NOT_ALLOWED', `${request.method} is not possible on ${path}: use ${allow}`);
    });
  }
}

function expressPath(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, ':$1');
}

async function answer(route: Route, request: Request, response: Response, deps: GatewayDeps): Promise<void> {
  const params = request.params as Record<string, string>;
  // prometheus-api-metrics puts parameter names in place of their values wherever these occur in the route: a stream
  // named "v1" would change the label of every route. Without parameters the label is the pattern itself.
  request.params = {};
  response.locals.openAi = route.openAi;
  if (Object.values(params).some((value) => value.includes('\0')))
    throw new ErrataError('UNKNOWN_ROUTE', 'The path holds the character U+0000');

  const abort = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) abort.abort();
  });
  const requestId = String(response.getHeader('x-request-id'));
  const reply = await route.handler({
    params,
    query: route.query ? validate(route.query, { ...request.query }, 'query') : undefined,
    body: route.body ? await readBody(route, request) : undefined,
    idempotencyKey: route.idempotencyKey ? idempotencyKey(request) : null,
    signal: abort.signal,
    origin: `${request.protocol}://${request.host ?? 'localhost'}`,
    requestId,
    log: deps.log,
  });
  if ('events' in reply) {
    await sendEvents(response, reply.events, (error) => {
      const failure = failureOf(error, { requestId, method: request.method, path: request.path }, deps.log);
      return { error: openAiErrorOf(failure, requestId) };
    });
    return;
  }

  if ('file' in reply) {
    await sendFile(response, reply.file);
    return;
  }

  for (const [name, value] of Object.entries(reply.headers ?? {})) response.setHeader(name, value);
  response.status(route.status);
  if ('json' in reply) response.json(reply.json);
  else response.type(reply.type).send(reply.text);
}

/** A client that goes away is no failure of ours. */
async function sendFile(response: Response, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    response.type('application/octet-stream').sendFile(path, { dotfiles: 'allow' }, (error?: NodeJS.ErrnoException) => {
      if (!error || response.headersSent) resolve();
      else if (error.code === 'ENOENT')
        reject(new ErrataError('UNKNOWN_EXPORT', 'the files of this export are gone from EXPORT_DIR: export again'));
      else reject(error);
    });
  });
}

async function readBody(route: Route, request: Request): Promise<unknown> {
  const schema = route.body!;
  if (!['identity', ''].includes(request.headers['content-encoding'] ?? ''))
    throw new ErrataError('UNSUPPORTED_MEDIA_TYPE', 'Compressed bodies are not accepted: send the body as it is');
  const type = (request.headers['content-type'] ?? '').split(';')[0].trim().toLowerCase();
  if (route.text) {
    if (type !== 'text/plain')
      throw new ErrataError(
        'UNSUPPORTED_MEDIA_TYPE',
        `The content type ${JSON.stringify(type)} is not accepted: use text/plain, in UTF-8`,
      );
    return validate(schema, await readText(request, route.text.maxBytes), 'body');
  }
  if (route.form) {
    if (type !== 'multipart/form-data')
      throw new ErrataError(
        'UNSUPPORTED_MEDIA_TYPE',
        `The content type ${JSON.stringify(type)} is not accepted: use multipart/form-data`,
      );
    return validate(schema, await readForm(request, request.headers['content-type'] ?? '', route.form), 'body');
  }
  if (route.ndjson && (type === 'application/x-ndjson' || type === 'application/ndjson')) {
    const { item, field, maxItems } = route.ndjson;
    return { [field]: await readNdjson(request, item, maxItems) };
  }
  const empty = request.headers['transfer-encoding'] === undefined && !Number(request.headers['content-length'] ?? 0);
  if (type !== 'application/json' && !empty) {
    const accepted = route.ndjson ? 'application/json or application/x-ndjson' : 'application/json';
    throw new ErrataError(
      'UNSUPPORTED_MEDIA_TYPE',
      `The content type ${JSON.stringify(type)} is not accepted: use ${accepted}`,
    );
  }
  const value = await readJson(request);
  if (value !== undefined) return validate(schema, value, 'body');
  const absent = schema.safeParse({});
  if (absent.success) return absent.data;
  throw new ErrataError('INVALID_REQUEST', 'The body is empty: send a JSON object');
}

function idempotencyKey(request: Request): string | null {
  const key = request.get('idempotency-key');
  if (key === undefined) return null;
  if (!keyPattern.test(key))
    throw invalid('header', [
      { field: 'Idempotency-Key', message: 'must be 1 to 255 visible ASCII characters without spaces' },
    ]);
  return key;
}
