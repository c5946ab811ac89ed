import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a server does wrong from now on. */
export interface Misbehaviour {
  /** Answers loads with this status, and loads nothing. */
  refuseLoad?: number;
  /** Loads, but closes the connection instead of answering. */
  loseLoadAnswer?: boolean;
  /** Answers completions as the unedited model. */
  ignoreAdapters?: boolean;
  /** Answers this many calls with 503 first. */
  busy?: number;
  /** Answers every call with a redirect there. */
  redirect?: string;
}

export interface TestLoraServer {
  readonly url: string;
  readonly loaded: Map<string, string>;
  readonly calls: string[];
  misbehave: Misbehaviour;
  close(): Promise<void>;
}

/**
 * A server on loopback with the endpoints of vLLM that publishing uses, and its answers to what goes wrong.
 * @param answer continues token ids with an adapter, or with the base model (null)
 */
export async function startLoraServer(
  answer: (prompt: readonly number[], adapter: string | null) => string,
): Promise<TestLoraServer> {
  const loaded = new Map<string, string>();
  const calls: string[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = chunks.length > 0 ? JSON.parse(Buffer.concat(chunks).toString()) : {};
    const path = (request.url ?? '').replace('/v1/', '');
    calls.push(path);
    const reply = (status: number, value: unknown, headers = {}) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(typeof value === 'string' ? value : JSON.stringify(value));
    };
    const { misbehave } = self;
    if (misbehave.redirect !== undefined) return reply(307, '', { location: misbehave.redirect });
    if (misbehave.busy) {
      misbehave.busy--;
      return reply(503, { message: 'overloaded' });
    }
    switch (path) {
      case 'models':
        return reply(200, { object: 'list', data: [{ id: 'base' }, ...[...loaded.keys()].map((id) => ({ id }))] });
      case 'load_lora_adapter':
        if (misbehave.refuseLoad !== undefined) return reply(misbehave.refuseLoad, { message: 'no such adapter' });
        if (loaded.has(body.lora_name)) return reply(400, { message: 'has already been loaded' });
        loaded.set(body.lora_name, body.lora_path);
        if (misbehave.loseLoadAnswer) return void response.destroy();
        return reply(200, `Success: LoRA adapter '${body.lora_name}' added successfully.`);
      case 'unload_lora_adapter':
        if (!loaded.delete(body.lora_name)) return reply(404, { message: 'not found' });
        return reply(200, 'Success');
      case 'completions': {
        const known = body.model === 'base' || loaded.has(body.model);
        if (!known) return reply(404, { message: `The model ${body.model} does not exist` });
        const adapter = body.model === 'base' || misbehave.ignoreAdapters ? null : body.model;
        return reply(200, { choices: [{ index: 0, text: answer(body.prompt, adapter), finish_reason: 'stop' }] });
      }
      default:
        return reply(404, { message: 'Not Found' });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const self: TestLoraServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    loaded,
    calls,
    misbehave: {},
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return self;
}
