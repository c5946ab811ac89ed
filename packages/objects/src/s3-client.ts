import { createHash } from 'node:crypto';
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { ErrataError } from '@errata/contracts';
import { passes, refusalOf, storageError } from './failures.js';
import type { S3Settings } from './settings.js';
import { amzDate, authorization, percentEncoded, sha256Hex } from './signature.js';

/** Metadata with the sha256 of an object, for whoever reads it again. */
const sha256Header = 'x-amz-meta-sha256';
/** Pauses between attempts in milliseconds: doubled each time, with up to half of it added at random. */
const firstPauseMs = 200;
const longestPauseMs = 10_000;
/** Longest answer to a refused request that is read. */
const errorBytes = 64 * 1024;
/** Largest object of a single upload. */
const maxObjectBytes = 5 * 1024 ** 3;
/** Requests at once; more wait. */
const sockets = 16;

/** What is uploaded: its length and hash are known before, and it can be sent again. */
export interface UploadBody {
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
  open(): Readable;
}

/** Whole objects by key below the bucket's prefix. What fails for a passing reason is tried again, then NOT_READY. */
export interface S3Objects {
  /** s3://bucket/prefix, for messages. */
  readonly address: string;
  /** @throws STORAGE_REFUSED, NOT_READY, PAYLOAD_TOO_LARGE, CANCELLED */
  put(key: string, body: Buffer | UploadBody, signal?: AbortSignal): Promise<void>;
  /** @throws LOG_CORRUPT it is not there or not what was put; STORAGE_REFUSED, NOT_READY, CANCELLED */
  get(key: string, signal?: AbortSignal): Promise<Buffer>;
  /** What is not there is removed already. @throws STORAGE_REFUSED, NOT_READY, CANCELLED */
  remove(key: string, signal?: AbortSignal): Promise<void>;
  close(): void;
}

interface Request {
  readonly method: 'GET' | 'PUT' | 'DELETE';
  readonly key: string;
  readonly body?: UploadBody | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** A request that broke before its answer was whole. */
class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

/** A client of one bucket. Connects on first use. */
export function connectS3(settings: S3Settings): S3Objects {
  const endpoint = new URL(settings.endpoint);
  const secure = endpoint.protocol === 'https:';
  const agent = new (secure ? HttpsAgent : HttpAgent)({ keepAlive: true, maxSockets: sockets });
  const send = secure ? httpsRequest : httpRequest;
  const { bucket, prefix, pathStyle, region, accessKeyId, secretAccessKey, sessionToken } = settings;
  const host = pathStyle ? endpoint.host : `${bucket}.${endpoint.host}`;
  const address = `s3://${bucket}/${prefix}`;

  const pathOf = (key: string): string => {
    const parts = [...(pathStyle ? [bucket] : []), ...`${prefix}${key}`.split('/')];
    return `/${parts.map(percentEncoded).join('/')}`;
  };

  function attempt({ method, key, body, signal }: Request): Promise<Answer> {
    const path = pathOf(key);
    const date = amzDate(new Date());
    const payloadHash = body?.sha256 ?? sha256Hex('');
    const signed: Record<string, string> = {
      host,
      'x-amz-date': date,
      'x-amz-content-sha256': payloadHash,
      ...(body && { 'content-length': String(body.bytes), [sha256Header]: body.sha256 }),
      ...(sessionToken !== undefined && { 'x-amz-security-token': sessionToken }),
    };
    const key4 = { accessKeyId, secretAccessKey, region, service: 's3' };
    const headers = {
      ...signed,
      authorization: authorization({ method, path, query: {}, headers: signed, payloadHash }, key4, date),
    };
    const deadline = AbortSignal.timeout(settings.timeoutMs);
    const stop = signal ? AbortSignal.any([signal, deadline]) : deadline;
    return new Promise((resolve, reject) => {
      const broken = (error: unknown) => reject(new Interrupted(reasonOf(error, deadline), { cause: error }));
      const outgoing = send(
        {
          host: endpoint.hostname,
          port: endpoint.port,
          servername: host.split(':')[0],
          method,
          path,
          headers,
          agent,
          signal: stop,
        },
        (response) => {
          readAll(response).then(
            (bytes) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: bytes }),
            broken,
          );
        },
      );
      outgoing.on('error', broken);
      if (!body) return void outgoing.end();
      const source = body.open();
      source.on('error', (error) => {
        outgoing.destroy();
        reject(error);
      });
      // An answer that comes before all is sent ends the upload.
      outgoing.on('close', () => source.destroy());
      source.pipe(outgoing);
    });
  }

  /** Sends a request until it is answered by anything but a passing failure. */
  async function exchange(request: Request): Promise<Answer> {
    const where = `${request.method} ${address}${request.key}`;
    for (let tries = 1; ; tries++) {
      let failure: ErrataError;
      try {
        request.signal?.throwIfAborted();
        const answer = await attempt(request);
        if (answer.status < 300 || answer.status === 404) return answer;
        const refusal = refusalOf(answer.status, answer.body.subarray(0, errorBytes).toString('utf8'));
        failure = storageError(where, refusal);
        if (!passes(refusal)) throw failure;
      } catch (error) {
        if (request.signal?.aborted)
          throw new ErrataError('CANCELLED', `${where} was cancelled`, { cause: request.signal.reason });
        if (!(error instanceof Interrupted)) throw error;
        failure = new ErrataError('NOT_READY', `the object storage is not reachable (${where}): ${error.message}`, {
          cause: error,
        });
      }
      if (tries >= settings.attempts) throw failure;
      const pause = Math.min(longestPauseMs, firstPauseMs * 2 ** (tries - 1)) * (1 + Math.random() / 2);
      await sleep(pause, undefined, { signal: request.signal }).catch(() => undefined);
    }
  }

  const noSuchBucket = ({ status, body }: Answer, where: string): void => {
    const refusal = refusalOf(status, body.toString('utf8'));
    if (refusal.code === 'NoSuchBucket') throw storageError(where, refusal);
  };

  return {
    address,
    async put(key, given, signal) {
      const body = Buffer.isBuffer(given) ? bodyOf(given) : given;
      if (body.bytes > maxObjectBytes)
        throw new ErrataError(
          'PAYLOAD_TOO_LARGE',
          `${address}${key} has ${body.bytes} bytes: an object of one upload has at most ${maxObjectBytes}`,
        );
      const answer = await exchange({ method: 'PUT', key, body, signal });
      if (answer.status === 404)
        throw storageError(`PUT ${address}${key}`, refusalOf(404, answer.body.toString('utf8')));
    },

    async get(key, signal) {
      const where = `GET ${address}${key}`;
      for (let tries = 1; ; tries++) {
        const answer = await exchange({ method: 'GET', key, signal });
        if (answer.status === 404) {
          noSuchBucket(answer, where);
          throw new ErrataError('LOG_CORRUPT', `the object ${address}${key} is gone`);
        }
        const expected = answer.headers[sha256Header];
        if (expected === undefined || sha256Hex(answer.body) === expected) return answer.body;
        // Once more: it may have been changed on its way alone.
        if (tries >= 2)
          throw new ErrataError('LOG_CORRUPT', `the object ${address}${key} does not match its checksum ${expected}`);
      }
    },

    async remove(key, signal) {
      const answer = await exchange({ method: 'DELETE', key, signal });
      if (answer.status === 404) noSuchBucket(answer, `DELETE ${address}${key}`);
    },

    close: () => agent.destroy(),
  };
}

function bodyOf(bytes: Buffer): UploadBody {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return { bytes: bytes.length, sha256, open: () => Readable.from([bytes], { objectMode: false }) };
}

/** The whole body. @throws where the connection ends before it is complete */
async function readAll(response: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of response) parts.push(part as Buffer);
  const bytes = Buffer.concat(parts);
  const announced = response.headers['content-length'];
  if (!response.complete || (announced !== undefined && Number(announced) !== bytes.length))
    throw new Error(`the answer broke off after ${bytes.length} of ${announced ?? 'unknown'} bytes`);
  return bytes;
}

function reasonOf(error: unknown, deadline: AbortSignal): string {
  if (deadline.aborted) return 'no answer in time';
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return code ?? (error instanceof Error ? error.message : String(error));
}
