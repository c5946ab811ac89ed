import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { sha256Hex } from '../signature.js';

/** What a request meets instead of being served, or `none`; `cut` ends the connection in the middle of the upload or the answer. */
export type Fault = 'none' | 'cut' | 'hang' | 'garble' | { readonly status: number; readonly code: string };

/** An S3 server in memory that misbehaves as it is told, in the order of the faults. */
export interface FaultServer {
  readonly url: string;
  readonly faults: Fault[];
  readonly objects: Map<string, { readonly body: Buffer; readonly sha256: string | undefined }>;
  /** Method and path of every request. */
  readonly requests: string[];
  stop(): Promise<void>;
}

function refuse(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'content-type': 'application/xml' });
  response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>as told</Message></Error>`);
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

export async function startFaultServer(): Promise<FaultServer> {
  const faults: Fault[] = [];
  const requests: string[] = [];
  const objects: FaultServer['objects'] = new Map();

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = '', url = '' } = request;
    requests.push(`${method} ${url}`);
    const fault = faults.shift();
    if (fault === 'hang') return;
    if (fault === 'cut' && method !== 'GET') {
      request.once('data', () => request.socket.destroy());
      return;
    }
    const body = await bodyOf(request);
    if (typeof fault === 'object') return refuse(response, fault.status, fault.code);
    if (!request.headers.authorization?.startsWith('AWS4-HMAC-SHA256 Credential='))
      return refuse(response, 403, 'AccessDenied');
    if (method === 'PUT') {
      if (fault === 'garble' || sha256Hex(body) !== request.headers['x-amz-content-sha256'])
        return refuse(response, 400, 'XAmzContentSHA256Mismatch');
      objects.set(url, { body, sha256: request.headers['x-amz-meta-sha256'] as string | undefined });
      response.end();
      return;
    }
    const found = objects.get(url);
    if (method === 'DELETE') {
      objects.delete(url);
      response.writeHead(204).end();
      return;
    }
    if (!found) return refuse(response, 404, 'NoSuchKey');
    const headers = { 'content-length': found.body.length, ...(found.sha256 && { 'x-amz-meta-sha256': found.sha256 }) };
    response.writeHead(200, headers);
    if (fault === 'cut') {
      response.write(found.body.subarray(0, 10), () => response.destroy());
      return;
    }
    response.end(fault === 'garble' ? Buffer.from(found.body).fill(0, 0, 1) : found.body);
  };

  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    faults,
    objects,
    requests,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
