import { ErrataError } from '@errata/contracts';
import { type Answer, guardedRequest } from './guarded-request.js';
import type { PublishTarget } from './target.js';

/** A server reads an adapter from its disk and copies it to the device. */
const loadTimeoutMs = 5 * 60_000;
const callTimeoutMs = 60_000;

/** What publishing asks of a server, as vLLM's OpenAI-compatible one offers it. */
export interface LoraServer {
  /** Idempotent. @param path where the server finds the adapter */
  load(loraName: string, path: string): Promise<void>;
  /** Idempotent. */
  unload(loraName: string): Promise<void>;
  /** Greedy continuation of a prompt given as token ids. */
  complete(model: string, prompt: readonly number[], maxTokens: number): Promise<string>;
}

/** A server with vLLM's `/v1/load_lora_adapter` and `/v1/unload_lora_adapter`. */
export function loraServer(target: PublishTarget, signal: AbortSignal): LoraServer {
  const post = (path: string, json: object, timeoutMs = callTimeoutMs) =>
    guardedRequest(target, { method: 'POST', path, json, timeoutMs, signal });
  const isLoaded = async (loraName: string): Promise<boolean> => {
    const answer = await guardedRequest(target, { method: 'GET', path: 'v1/models', timeoutMs: callTimeoutMs, signal });
    if (answer.status !== 200) throw refused(target, 'to list its models', answer);
    const { data } = parse(target, answer) as { data?: readonly { id?: unknown }[] };
    return Array.isArray(data) && data.some(({ id }) => id === loraName);
  };

  return {
    async load(loraName, path) {
      if (await isLoaded(loraName)) return;
      const request = { lora_name: loraName, lora_path: path };
      const answer = await post('v1/load_lora_adapter', request, loadTimeoutMs);
      // A try whose answer was lost may have been heard.
      if (answer.status !== 200 && !(await isLoaded(loraName))) throw refused(target, 'to load the adapter', answer);
    },

    async unload(loraName) {
      if (!(await isLoaded(loraName))) return;
      const answer = await post('v1/unload_lora_adapter', { lora_name: loraName });
      if (answer.status !== 200 && (await isLoaded(loraName))) throw refused(target, 'to unload the adapter', answer);
    },

    async complete(model, prompt, maxTokens) {
      const request = { model, prompt, max_tokens: maxTokens, temperature: 0, stop: ['\n'] };
      const answer = await post('v1/completions', request);
      if (answer.status !== 200) throw refused(target, `to answer as ${model}`, answer);
      const { choices } = parse(target, answer) as { choices?: readonly { text?: unknown }[] };
      const text = choices?.[0]?.text;
      if (typeof text !== 'string')
        throw new ErrataError('PUBLISH_REFUSED', `${target.name} answers without a text: ${shown(answer)}`);
      return text;
    },
  };
}

function parse({ name }: PublishTarget, answer: Answer): unknown {
  try {
    return JSON.parse(answer.text) ?? {};
  } catch (cause) {
    throw new ErrataError('PUBLISH_REFUSED', `${name} does not answer in JSON: ${shown(answer)}`, { cause });
  }
}

function refused(target: PublishTarget, what: string, answer: Answer): ErrataError {
  const { name } = target;
  const advice = adviceFor(target, answer);
  // What vLLM finds wrong with an adapter comes as 500 too: another try would find the same.
  if (advice === null && (answer.status >= 500 || answer.status === 429))
    return new ErrataError('NOT_READY', `${name} failed ${what}: ${answer.status} ${shown(answer)}`);
  return new ErrataError(
    'PUBLISH_REFUSED',
    `${name} refused ${what}: ${answer.status} ${shown(answer)}${advice ?? ''}`,
  );
}

/** What to do about an answer of vLLM that another try cannot change, or null. */
function adviceFor({ objects, exportDir }: PublishTarget, { status, text }: Answer): string | null {
  if (status === 404 && /"detail":\s*"Not Found"/.test(text))
    return '; start vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True';
  if (/No adapter found/.test(text) && objects !== undefined)
    return exportDir === undefined
      ? '; vLLM by itself reads no s3:// addresses: mount the bucket there, and name the path of its prefix as "exportDir" of the target'
      : `; it does not see ${objects} as ${exportDir}: mount the bucket there, or correct "exportDir" of the target`;
  if (/No adapter found/.test(text))
    return '; it does not see the folder of exports: mount it there, and name its path as "exportDir" of the target';
  if (/greater than max_lora_rank/.test(text))
    return '; start vLLM with a larger --max-lora-rank, or publish with a smaller --max-rank';
  return null;
}

function shown({ text }: Answer): string {
  return text.replaceAll(/\s+/g, ' ').slice(0, 300);
}
