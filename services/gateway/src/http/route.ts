import type { ErrorCode } from '@errata/contracts';
import type { z } from 'zod';
import type { Log } from '../deps.js';

export type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

/** What a handler knows of its request; params, query and body are validated. */
export interface RouteContext<Query, Body> {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly body: Body;
  readonly idempotencyKey: string | null;
  /** Aborts when the client goes away. */
  readonly signal: AbortSignal;
  /** Where the caller reached this server, such as `http://127.0.0.1:8080`. */
  readonly origin: string;
  readonly requestId: string;
  readonly log: Log;
}

/** A JSON answer. */
export interface JsonReply<Body> {
  readonly json: Body;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An answer of another media type: the docs page, metrics. */
export interface TextReply {
  readonly text: string;
  readonly type: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A file of the disk, sent as it is; parts of it where the client asks for a range. */
export interface FileReply {
  /** Absolute; never made from the text of a request. */
  readonly file: string;
}

/** Server-sent events: each item as one `data` line of JSON, `[DONE]` at the end. Begins when the first item is there. */
export interface EventReply<Event> {
  readonly events: AsyncIterable<Event>;
}

interface RouteText {
  readonly method: Method;
  /** In the form of OpenAPI: `/v1/streams/{stream}`. */
  readonly path: string;
  readonly operationId: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  /** Status of the answer when all goes well. */
  readonly status: 200 | 201 | 202;
  /** Codes that a client may meet here, besides those that every route has. */
  readonly errors?: readonly ErrorCode[];
  readonly idempotencyKey?: boolean;
  /** Arguments of the curl example after the address. */
  readonly curl?: string;
  /** Problems also hold what clients of OpenAI read. */
  readonly openAi?: true;
}

/** The definition of a route as its module writes it. */
export interface RouteSpec<
  Query extends z.ZodType,
  Body extends z.ZodType,
  Reply extends z.ZodType,
  Event extends z.ZodType,
> extends RouteText {
  readonly query?: Query;
  readonly body?: Body;
  /** Accepts application/x-ndjson too: each line an item of the body's array `field`. */
  readonly ndjson?: { readonly item: z.ZodType; readonly field: string; readonly maxItems: number };
  /** The body is text instead (text/plain, UTF-8), of at most so many bytes; `body` checks the string. */
  readonly text?: { readonly maxBytes: number };
  /** The body is a form of files instead (multipart/form-data); `body` checks an object of their bytes. */
  readonly form?: { readonly maxBytes: number; readonly fields: Readonly<Record<string, string>> };
  readonly reply?: Reply;
  /** Media type of the answer where it is not JSON. */
  readonly replyType?: string;
  /** An event of the answer, where the body may ask for a streamed one. */
  readonly event?: Event;
  readonly handler: (
    context: RouteContext<z.output<Query>, z.output<Body>>,
  ) => Promise<JsonReply<z.input<Reply>> | TextReply | FileReply | EventReply<z.input<Event>>>;
}

/** A route of the table, its types erased: what the router and the OpenAPI document are made from. */
export interface Route extends RouteText {
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  readonly ndjson?: { readonly item: z.ZodType; readonly field: string; readonly maxItems: number };
  readonly text?: { readonly maxBytes: number };
  readonly form?: { readonly maxBytes: number; readonly fields: Readonly<Record<string, string>> };
  readonly reply?: z.ZodType;
  readonly replyType?: string;
  readonly event?: z.ZodType;
  readonly handler: (
    context: RouteContext<unknown, unknown>,
  ) => Promise<JsonReply<unknown> | TextReply | FileReply | EventReply<unknown>>;
}

/** Checks a route's handler against its schemas and erases the types. */
export function defineRoute<
  Query extends z.ZodType,
  Body extends z.ZodType,
  Reply extends z.ZodType,
  Event extends z.ZodType,
>(spec: RouteSpec<Query, Body, Reply, Event>): Route {
  return spec as unknown as Route;
}
