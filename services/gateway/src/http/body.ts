import type { IncomingMessage } from 'node:http';
import { ErrataError, type ErrorDetail, limits } from '@errata/contracts';
import type { z } from 'zod';
import { findJsonFault } from './json-fault.js';
import { detailsOf, valueFaults } from './validate.js';

/** Most faulty lines that one answer names. */
const reportedLines = 20;
/** Bytes read past the limit and thrown away, so that a client still sending gets the answer instead of a reset. */
const drainedBytes = 64 * 1024 * 1024;

/**
 * The parsed JSON body, or undefined when the request has none.
 * @throws PAYLOAD_TOO_LARGE above `limits.requestBytes`; INVALID_REQUEST for bad UTF-8 or JSON, with the position
 */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of boundedBytes(request)) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  if (bytes.length === 0) return undefined;
  const text = decode(bytes, true);
  if (text === null) throw new ErrataError('INVALID_REQUEST', 'The body is not valid UTF-8');
  const value = parse(text);
  if ('fault' in value) {
    const { line, column, position, message } = value.fault;
    throw new ErrataError('INVALID_REQUEST', `The body is not valid JSON at position ${position}: ${message}`, {
      details: [{ line, message: `column ${column}: ${message}` }],
    });
  }
  return value.value;
}

/**
 * The body as text.
 * @throws PAYLOAD_TOO_LARGE; INVALID_REQUEST for bytes that are not UTF-8
 */
export async function readText(request: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of boundedBytes(request, maxBytes)) chunks.push(chunk);
  const text = decode(Buffer.concat(chunks), true);
  if (text === null) throw new ErrataError('INVALID_REQUEST', 'The body is not valid UTF-8: send it in that encoding');
  return text;
}

/**
 * The files of a multipart form by their fields.
 * @param type the content type with its boundary
 * @throws PAYLOAD_TOO_LARGE; INVALID_REQUEST where it is no form, or names a field twice or one that is not asked for
 */
export async function readForm(
  request: IncomingMessage,
  type: string,
  { maxBytes, fields }: { readonly maxBytes: number; readonly fields: Readonly<Record<string, string>> },
): Promise<Record<string, Uint8Array>> {
  const chunks: Buffer[] = [];
  for await (const chunk of boundedBytes(request, maxBytes)) chunks.push(chunk);
  let form: Awaited<ReturnType<Response['formData']>>;
  try {
    form = await new Response(Buffer.concat(chunks), { headers: { 'content-type': type } }).formData();
  } catch (cause) {
    throw new ErrataError('INVALID_REQUEST', 'The body is not valid multipart/form-data', { cause });
  }
  const found: Record<string, Uint8Array> = {};
  for (const [name, value] of form) {
    if (!Object.hasOwn(fields, name) || Object.hasOwn(found, name))
      throw new ErrataError(
        'INVALID_REQUEST',
        `The form has ${Object.hasOwn(found, name) ? 'twice' : 'no use for'} the field ${JSON.stringify(name.slice(0, 100))}: it takes ${Object.keys(fields).join(', ')}, once each`,
      );
    found[name] = typeof value === 'string' ? Buffer.from(value) : new Uint8Array(await value.arrayBuffer());
  }
  return found;
}

/**
 * The items of an NDJSON body (one JSON value a line; blank lines are passed over), holding one line at a time besides
 * the items themselves.
 * @throws MALFORMED_NDJSON naming the faulty lines, the first 20; PAYLOAD_TOO_LARGE for the body or a line above its limit
 */
export async function readNdjson<Item extends z.ZodType>(
  request: IncomingMessage,
  schema: Item,
  maxItems: number,
): Promise<z.output<Item>[]> {
  const items: z.output<Item>[] = [];
  const faults: ErrorDetail[] = [];
  const faulty = new Set<number>();
  let tooLong: number | null = null;
  let number = 0;
  const take = (line: Buffer | null) => {
    number++;
    if (line === null) {
      tooLong ??= number;
      return;
    }
    if (faulty.size >= reportedLines || tooLong !== null || items.length > maxItems) return;
    const parsed = parseLine(line, number, schema);
    if (parsed === null) return;
    if ('item' in parsed) items.push(parsed.item);
    else {
      faulty.add(number);
      faults.push(...parsed.faults);
    }
  };
  for await (const line of lines(boundedBytes(request))) take(line);

  if (tooLong !== null) {
    const message = `Line ${tooLong} is longer than ${limits.lineBytes} bytes`;
    throw new ErrataError('PAYLOAD_TOO_LARGE', message, { details: [{ line: tooLong, message }] });
  }
  if (faults.length > 0) {
    const more = faulty.size >= reportedLines ? ' (the first ones; later lines were not checked)' : '';
    throw new ErrataError(
      'MALFORMED_NDJSON',
      `${faulty.size} of the lines are not valid${more}; nothing was stored: ${[...faulty].join(', ')}`,
      { details: faults },
    );
  }
  if (items.length > maxItems)
    throw new ErrataError('PAYLOAD_TOO_LARGE', `The body holds more than ${maxItems} lines: send them in parts`);
  if (items.length === 0) throw new ErrataError('INVALID_REQUEST', 'The body holds no line');
  return items;
}

type ParsedLine<Item> = { item: Item } | { faults: ErrorDetail[] } | null;

function parseLine<Item extends z.ZodType>(line: Buffer, number: number, schema: Item): ParsedLine<z.output<Item>> {
  const text = decode(line, number === 1);
  if (text === null) return { faults: [{ line: number, message: 'not valid UTF-8' }] };
  if (text.trim() === '') return null;
  const value = parse(text);
  if ('fault' in value)
    return {
      faults: [{ line: number, message: `not valid JSON at column ${value.fault.column}: ${value.fault.message}` }],
    };
  const malformed = valueFaults(value.value);
  if (malformed.length > 0) return { faults: malformed.map((fault) => ({ line: number, ...fault })) };
  const result = schema.safeParse(value.value);
  return result.success ? { item: result.data } : { faults: detailsOf(result.error, { line: number }) };
}

/** Lines without their end, null for one above `limits.lineBytes`; never holds more than one line. */
async function* lines(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer | null> {
  let parts: Buffer[] = [];
  let length = 0;
  for await (const chunk of source) {
    let from = 0;
    for (;;) {
      const end = chunk.indexOf(0x0a, from);
      const part = chunk.subarray(from, end === -1 ? undefined : end);
      length += part.length;
      if (length <= limits.lineBytes) parts.push(part);
      else parts = [];
      if (end === -1) break;
      yield length <= limits.lineBytes ? Buffer.concat(parts) : null;
      parts = [];
      length = 0;
      from = end + 1;
    }
  }
  if (length > 0) yield length <= limits.lineBytes ? Buffer.concat(parts) : null;
}

async function* boundedBytes(request: IncomingMessage, maxBytes: number = limits.requestBytes): AsyncGenerator<Buffer> {
  const tooLarge = () =>
    new ErrataError('PAYLOAD_TOO_LARGE', `The body is larger than ${maxBytes} bytes: send it in parts`);
  if (Number(request.headers['content-length'] ?? 0) > maxBytes + drainedBytes) throw tooLarge();
  let total = 0;
  // Leaving the loop must not destroy the socket: the answer goes out on it.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    total += chunk.length;
    if (total <= maxBytes) yield chunk;
    else if (total > maxBytes + drainedBytes) throw tooLarge();
  }
  if (total > maxBytes) throw tooLarge();
}

/** Null when the bytes are not UTF-8. A byte order mark may stand at the start of the body only. */
function decode(bytes: Buffer, start: boolean): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: !start }).decode(bytes);
  } catch {
    return null;
  }
}

function parse(
  text: string,
): { value: unknown } | { fault: { position: number; line: number; column: number; message: string } } {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { fault: findJsonFault(text) ?? { position: 0, line: 1, column: 1, message } };
  }
}
