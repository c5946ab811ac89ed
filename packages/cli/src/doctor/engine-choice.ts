import type { Adapter } from '@errata/tensor';
import type { Candidate } from './check.js';

const choices = ['auto', 'native', 'webgpu', 'wasm'] as const;
export type EngineChoice = (typeof choices)[number];

/** @throws Error naming the value of ERRATA_ENGINE that no service would take */
export function engineChoice(value: string | undefined): EngineChoice {
  const found = choices.find((choice) => choice === (value || 'auto'));
  if (found === undefined) throw new Error(`ERRATA_ENGINE: ${JSON.stringify(value)} is none of ${choices.join(', ')}`);
  return found;
}

/** What is known of the native binding. */
export type NativeState = { readonly version: string } | { readonly missing: string };

/**
 * Each engine with the reason why it is or is not the one that computes.
 * @param what the model, or the large matrices of shards: those take an adapter in software, too
 */
export function candidates(
  asked: EngineChoice,
  native: NativeState,
  adapter: Adapter,
  what: 'model' | 'matrices' = 'model',
): Candidate[] {
  const loads = !('missing' in native);
  const taken = asked === 'auto' ? (loads ? 'native' : 'wasm') : asked;
  const elsewhere = asksFor(asked);
  const chosen = asked === 'auto' ? 'the best that loads: native, else wasm' : elsewhere;
  const reasons = {
    native: loads ? (taken === 'native' ? chosen : elsewhere) : `does not load: ${native.missing}`,
    webgpu: webgpuReason(asked, adapter, what),
    wasm: taken === 'wasm' ? chosen : asked === 'auto' ? 'slower than native, which loads' : elsewhere,
  };
  return Object.entries(reasons).map(([name, reason]) => ({ name, taken: name === taken, reason }));
}

function webgpuReason(asked: EngineChoice, adapter: Adapter, what: 'model' | 'matrices'): string {
  if ('missing' in adapter) return adapter.missing;
  const { description, software } = adapter;
  if (asked === 'webgpu')
    return software && what === 'model' ? `${description}: not taken for a model` : `${asksFor(asked)}: ${description}`;
  if (software) return `${description}: slower than the CPU engines`;
  return `${description} can be used, and is when asked for: ERRATA_ENGINE=webgpu`;
}

function asksFor(asked: EngineChoice): string {
  return `ERRATA_ENGINE asks for ${asked}`;
}
