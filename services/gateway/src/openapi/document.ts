import { type ErrorCode, errorClasses, problemSchema } from '@errata/contracts';
import { z } from 'zod';
import type { Route } from '../http/route.js';

/** A JSON object of the document. */
export type Json = { [key: string]: unknown };

export interface OpenApiDocument {
  readonly openapi: '3.1.0';
  readonly info: {
    readonly title: string;
    readonly version: string;
    readonly description: string;
    readonly license: Json;
  };
  readonly servers: readonly Json[];
  readonly tags: readonly { readonly name: string }[];
  readonly paths: { readonly [path: string]: { readonly [method: string]: Json } };
  readonly components: { readonly schemas: { readonly [name: string]: Json } };
}

const parameterTexts: Readonly<Record<string, string>> = {
  stream: 'Id or name of the stream',
  edit: 'Id of the edit',
  evaluation: 'Id of the evaluation',
  revocation: 'Id of the revocation',
  corpus: 'Id of the corpus',
};

/** The OpenAPI 3.1 description of a table of routes. */
export function openApiDocument(routes: readonly Route[], version: string): OpenApiDocument {
  const schemas = new Map<string, Json>();
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) {
    paths[route.path] ??= {};
    paths[route.path][route.method.toLowerCase()] = operation(route, schemas);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Errata',
      version,
      description:
        'Corrections of a deployed language model: sent as edits, written into its weights in order, verified, reversible.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: [...new Set(routes.map((route) => route.tag))].map((name) => ({ name })),
    paths,
    components: { schemas: Object.fromEntries([...schemas].sort(([a], [b]) => (a < b ? -1 : 1))) },
  };
}

function operation(route: Route, schemas: Map<string, Json>): Json {
  return {
    operationId: route.operationId,
    tags: [route.tag],
    summary: route.summary,
    ...(route.description && { description: route.description }),
    parameters: parameters(route, schemas),
    ...(route.body && { requestBody: requestBody(route, schemas) }),
    responses: { [route.status]: success(route, schemas), ...problems(route, schemas) },
    ...(route.curl && { 'x-curl': route.curl }),
  };
}

function parameters(route: Route, schemas: Map<string, Json>): Json[] {
  const inPath = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    description: parameterTexts[name],
    schema: { type: 'string' },
  }));
  const query = route.query ? schemaOf(route.query, 'input', schemas) : {};
  const inQuery = Object.entries((query.properties ?? {}) as Record<string, Json>).map(([name, schema]) => ({
    name,
    in: 'query',
    required: ((query.required ?? []) as string[]).includes(name),
    schema,
  }));
  const key = {
    name: 'Idempotency-Key',
    in: 'header',
    required: false,
    description: 'A repeat with the same key and the same body has no further effect',
    schema: { type: 'string', minLength: 1, maxLength: 255 },
  };
  return [...inPath, ...inQuery, ...(route.idempotencyKey ? [key] : [])];
}

/** Files by field; those that may be left out are what the schema of the body says. */
function formSchema({ form, body }: Route): Json {
  const fields = Object.entries(form?.fields ?? {});
  const properties = Object.fromEntries(
    fields.map(([name, description]) => [name, { type: 'string', format: 'binary', description }]),
  );
  const given = (left: string) =>
    Object.fromEntries(fields.filter(([name]) => name !== left).map(([name]) => [name, new Uint8Array()]));
  const required = fields.map(([name]) => name).filter((name) => !body?.safeParse(given(name)).success);
  return { type: 'object', properties, required };
}

function requestBody(route: Route, schemas: Map<string, Json>): Json {
  if (route.text)
    return { required: true, content: { 'text/plain': { schema: schemaOf(route.body!, 'input', schemas) } } };
  if (route.form) return { required: true, content: { 'multipart/form-data': { schema: formSchema(route) } } };
  const content: Json = { 'application/json': { schema: schemaOf(route.body!, 'input', schemas) } };
  if (route.ndjson)
    content['application/x-ndjson'] = {
      schema: {
        type: 'string',
        description: 'One item of `edits` a line',
        'x-line-schema': schemaOf(route.ndjson.item, 'input', schemas),
      },
    };
  return { required: !route.body!.safeParse({}).success, content };
}

function success(route: Route, schemas: Map<string, Json>): Json {
  const schema = route.reply ? schemaOf(route.reply, 'output', schemas) : { type: 'string' };
  const events = route.event && { 'text/event-stream': { schema: eventSchema(route.event, schemas) } };
  return { description: 'Done', content: { [route.replyType ?? 'application/json']: { schema }, ...events } };
}

function eventSchema(event: z.ZodType, schemas: Map<string, Json>): Json {
  return {
    type: 'string',
    description: 'Lines `data: ` with one event each, `data: [DONE]` at the end',
    'x-line-schema': schemaOf(event, 'output', schemas),
  };
}

function problems(route: Route, schemas: Map<string, Json>): Json {
  const everywhere: ErrorCode[] =
    route.method === 'POST' || route.query ? ['INVALID_REQUEST', 'INTERNAL'] : ['INTERNAL'];
  const body: ErrorCode[] = route.body ? ['PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE'] : [];
  const byStatus = new Map<number, Set<ErrorCode>>();
  for (const code of [...(route.errors ?? []), ...body, ...everywhere]) {
    const { status } = errorClasses[code];
    byStatus.set(status, (byStatus.get(status) ?? new Set()).add(code));
  }
  const schema = schemaOf(problemSchema, 'output', schemas);
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [
      String(status),
      {
        description: [...codes].map((code) => `${errorClasses[code].title} (${code})`).join('; '),
        content: { 'application/problem+json': { schema } },
      },
    ]),
  );
}

/** The JSON schema of a zod schema; named parts become components. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output', schemas: Map<string, Json>): Json {
  const raw = z.toJSONSchema(schema, { io, override: ({ jsonSchema }) => dropSafeIntegerBounds(jsonSchema) }) as Json;
  const { $schema: _, $defs, ...root } = toComponents(raw) as Json & { $defs?: Record<string, Json> };
  for (const [name, part] of Object.entries($defs ?? {})) add(componentName(name), part, schemas);
  const id = z.globalRegistry.get(schema)?.id;
  // zod makes the root a reference too when it is named.
  if (typeof root.$ref === 'string') return root;
  if (typeof id !== 'string') return root;
  add(id, root, schemas);
  return { $ref: `#/components/schemas/${id}` };
}

function add(name: string, part: Json, schemas: Map<string, Json>): void {
  const { id: _, ...schema } = part;
  const present = schemas.get(name);
  if (present && JSON.stringify(present) !== JSON.stringify(schema))
    throw new Error(`two schemas are named ${name}: one is an input, one an output, or an id is used twice`);
  schemas.set(name, schema);
}

/** Rewrites `#/$defs/Name` into `#/components/schemas/Name`, everywhere. */
function toComponents(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toComponents);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) =>
      key === '$ref' && typeof inner === 'string'
        ? [key, `#/components/schemas/${componentName(inner.replace('#/$defs/', ''))}`]
        : [key, toComponents(inner)],
    ),
  );
}

/** zod numbers the recursive schemas that have no name; the only one in use is that of any JSON value. */
function componentName(name: string): string {
  return name.replace(/^__schema\d+$/, 'JsonValue');
}

/** zod writes the bounds of a double's exact integers into every integer; they say nothing to a reader. */
function dropSafeIntegerBounds(schema: { minimum?: number; maximum?: number }): void {
  if (schema.minimum === Number.MIN_SAFE_INTEGER) delete schema.minimum;
  if (schema.maximum === Number.MAX_SAFE_INTEGER) delete schema.maximum;
}
