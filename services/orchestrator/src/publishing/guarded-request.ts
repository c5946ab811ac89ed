import { lookup } from 'node:dns';
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { ErrataError } from '@errata/contracts';

/** Longest answer that is read: completions of a few tokens, lists of models. */
const maxAnswerBytes = 4 * 1024 * 1024;

/** Addresses that no server of the configuration has: metadata services of clouds (link-local), multicast, "this network". */
const forbidden = new BlockList();
forbidden.addSubnet('169.254.0.0', 16, 'ipv4');
forbidden.addSubnet('224.0.0.0', 4, 'ipv4');
forbidden.addSubnet('240.0.0.0', 4, 'ipv4');
forbidden.addSubnet('0.0.0.0', 8, 'ipv4');
forbidden.addSubnet('fe80::', 10, 'ipv6');
forbidden.addSubnet('ff00::', 8, 'ipv6');
forbidden.addAddress('::', 'ipv6');

/** A server that the configuration names. */
export interface GuardedTarget {
  readonly name: string;
  readonly url: string;
  readonly apiKey?: string | undefined;
  /** The only addresses that its name may resolve to. */
  readonly addresses?: readonly string[] | undefined;
}

export interface GuardedCall {
  readonly method: 'GET' | 'POST';
  /** Below the address of the target; the address itself where it is empty. */
  readonly path: string;
  readonly json?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Code of a refusal; PUBLISH_REFUSED when left out. */
  readonly refusal?: 'PUBLISH_REFUSED' | 'WEBHOOK_REFUSED';
}

type Refusal = NonNullable<GuardedCall['refusal']>;

export interface Answer {
  readonly status: number;
  readonly text: string;
}

/**
 * Sends a request to a configured server. What its name resolves to is checked when the connection is made, so that a name
 * that comes to mean another machine is refused; redirects are not followed.
 * @throws PUBLISH_REFUSED or the call's `refusal`: a forbidden address; NOT_READY no connection, DEADLINE_EXCEEDED
 */
export async function guardedRequest(target: GuardedTarget, call: GuardedCall): Promise<Answer> {
  const base = target.url.endsWith('/') || call.path === '' ? target.url : `${target.url}/`;
  const url = call.path === '' ? new URL(base) : new URL(call.path, base);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const check = checkFor(target, call.refusal ?? 'PUBLISH_REFUSED');
  if (isIP(host)) check(host);
  const body = call.json === undefined ? undefined : JSON.stringify(call.json);
  const options: RequestOptions = {
    method: call.method,
    agent: false,
    lookup: guardedLookup(check),
    signal: AbortSignal.any([call.signal, AbortSignal.timeout(call.timeoutMs)]),
    headers: {
      accept: 'application/json',
      ...(target.apiKey !== undefined && { authorization: `Bearer ${target.apiKey}` }),
      ...(body !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      ...call.headers,
    },
  };
  try {
    return await send(url, options, body, call.refusal ?? 'PUBLISH_REFUSED');
  } catch (error) {
    if (error instanceof ErrataError) throw error;
    call.signal.throwIfAborted();
    const message = error instanceof Error ? error.message : String(error);
    if (
      error instanceof Error &&
      (error.name === 'TimeoutError' || (error as NodeJS.ErrnoException).code === 'ABORT_ERR')
    )
      throw new ErrataError('DEADLINE_EXCEEDED', `${target.name} did not answer within ${call.timeoutMs} ms`, {
        cause: error,
      });
    throw new ErrataError('NOT_READY', `${target.name} at ${url.origin} does not answer: ${message}`, { cause: error });
  }
}

function guardedLookup(check: (address: string) => void): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found) => {
      if (error) return callback(error, '', 0);
      try {
        for (const { address } of found) check(address);
      } catch (refusal) {
        return callback(refusal as Error, '', 0);
      }
      if (options.all) callback(null, found);
      else callback(null, found[0].address, found[0].family);
    });
  };
}

/** What throws where an address may not be connected to. */
function checkFor({ name, addresses }: GuardedTarget, refusal: Refusal): (address: string) => void {
  return (address) => {
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (forbidden.check(address, family))
      throw new ErrataError(refusal, `${name} resolves to ${address}, where no server is connected to`);
    if (addresses && !addresses.includes(address))
      throw new ErrataError(refusal, `${name} resolves to ${address}, which is not among its addresses`);
  };
}

function send(url: URL, options: RequestOptions, body: string | undefined, refusal: Refusal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, options, (response) => {
      read(response, refusal).then((text) => resolve({ status: response.statusCode ?? 0, text }), reject);
    });
    request.once('error', reject);
    request.end(body);
  });
}

async function read(response: IncomingMessage, refusal: Refusal): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxAnswerBytes)
      throw new ErrataError(refusal, `the server answers with more than ${maxAnswerBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
