import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a server does wrong from now on. */
export interface Misbehaviour {
  /** Loads nothing: it does not have the route, does not see the folder, or was started for a lower rank. */
  refuseLoad?: 'route' | 'folder' | 'rank';
  /** Loads, but closes the connection instead of answering. */
  loseLoadAnswer?: boolean;
  /** Answers completions as the unedited model. */
  ignoreAdapters?: boolean;
  /** Answers this many calls with 503 first. */
  busy?: number;
  /** Answers every call with a redirect there. */
  redirect?: string;
}

/**
 * Error documents of vLLM (ErrorResponse): `nested` of newer, `flat` of older versions. A route
 * that is not there is FastAPI's own.
 */
export type ErrorForm = 'nested' | 'flat';

export interface TestLoraServer {
  readonly url: string;
  readonly loaded: Map<string, string>;
  readonly calls: string[];
  misbehave: Misbehaviour;
  close(): Promise<void>;
}

/**
 * A server on loopback with the endpoints of vLLM that publishing uses: requests, answers and errors as vLLM has them
 * (OpenAIServingModels: `load_lora_adapter`, `unload_lora_adapter`, `show_available_models`).
 * @param answer continues token ids with an adapter, or with the base model (null)
 */
export async function startLoraServer(
  answer: (prompt: readonly number[], adapter: string | null) => string,
  form: ErrorForm = 'nested',
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
    const refuse = (code: number, type: string, message: string) =>
      reply(
        code,
        form === 'nested'
          ? { error: { message, type, param: null, code } }
          : { object: 'error', message, type, param: null, code },
      );
    const card = (id: string, root: string, parent: string | null) => ({
      ...{ id, object: 'model', created: 1_700_000_000, owned_by: 'vllm' },
      ...{ root, parent, permission: [] },
    });
    const { misbehave } = self;
    if (misbehave.redirect !== undefined) return reply(307, '', { location: misbehave.redirect });
    if (misbehave.busy) {
      misbehave.busy--;
      return reply(503, { message: 'overloaded' });
    }
    switch (path) {
      case 'models':
        return reply(200, {
          object: 'list',
          data: [card('base', 'base', null), ...[...loaded].map(([id, root]) => card(id, root, 'base'))],
        });
      case 'load_lora_adapter':
        if (misbehave.refuseLoad === 'route') return reply(404, { detail: 'Not Found' });
        if (!body.lora_name || !body.lora_path)
          return refuse(400, 'InvalidUserInput', "Both 'lora_name' and 'lora_path' must be provided.");
        if (loaded.has(body.lora_name))
          return refuse(400, 'InvalidUserInput', `The lora adapter '${body.lora_name}' has already been loaded.`);
        if (misbehave.refuseLoad === 'folder')
          return refuse(
            404,
            'NotFoundError',
            `Loading lora ${body.lora_name} failed: No adapter found for ${body.lora_path}`,
          );
        if (misbehave.refuseLoad === 'rank')
          return form === 'nested'
            ? refuse(500, 'InternalServerError', 'LoRA rank 64 is greater than max_lora_rank 16.')
            : refuse(400, 'BadRequestError', 'LoRA rank 64 is greater than max_lora_rank 16.');
        loaded.set(body.lora_name, body.lora_path);
        if (misbehave.loseLoadAnswer) return void response.destroy();
        return reply(200, `Success: LoRA adapter '${body.lora_name}' added successfully.`);
      case 'unload_lora_adapter':
        if (!loaded.delete(body.lora_name))
          return refuse(404, 'NotFoundError', `The lora adapter '${body.lora_name}' cannot be found.`);
        return reply(200, `Success: LoRA adapter '${body.lora_name}' removed successfully.`);
      case 'completions': {
        const known = body.model === 'base' || loaded.has(body.model);
        if (!known) return refuse(404, 'NotFoundError', `The model \`${body.model}\` does not exist.`);
        const adapter = body.model === 'base' || misbehave.ignoreAdapters ? null : body.model;
        return reply(200, { choices: [{ index: 0, text: answer(body.prompt, adapter), finish_reason: 'stop' }] });
      }
      default:
        return reply(404, { detail: 'Not Found' });
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
