import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EditorConfig } from '@errata/contracts';
import type { TargetRow } from '@errata/editor/baselines';
import type { Model } from '@errata/model';
import { type PythonProgram, startPython } from './python-program.js';

/** The PyTorch program with the model's weights, or why there is none. */
export type TorchStart = { readonly torch: TorchModel } | { readonly missing: string };

/** The same model in PyTorch. All times are its own, in seconds. */
export interface TorchModel {
  readonly version: string;
  readonly device: string;
  /** @returns the loss before the first step and after each, for every edit of the batch */
  targets(batch: number, plain: boolean): Promise<{ seconds: number; losses: readonly (readonly number[])[] }>;
  keys(batch: number): Promise<number>;
  generate(prompts: readonly (readonly number[])[], tokens: number): Promise<{ seconds: number; tokens: number[][] }>;
  close(): Promise<void>;
}

export interface TorchSpec {
  readonly model: Model;
  readonly config: EditorConfig;
  readonly threads: number;
  readonly batches: readonly (readonly TargetRow[])[];
}

/** Hands the weights of a Llama over in a temporary file, which is gone once they are read. */
export async function startTorchModel(python: string, spec: TorchSpec, signal: AbortSignal): Promise<TorchStart> {
  const { model, config, threads } = spec;
  const { architecture, biases, attention } = model.config;
  if (architecture !== 'llama' || biases.queryKeyValue || biases.feedForward || attention.includes('sliding'))
    return { missing: `the PyTorch program runs plain Llama models only, not ${model.config.name}` };
  const folder = await mkdtemp(join(tmpdir(), 'errata-torch-'));
  try {
    const weights = join(folder, 'weights.f32');
    const tensors = await writeWeights(model, weights);
    const { layers, hiddenSize, heads, keyValueHeads, headSize, normEpsilon } = model.config;
    const description = {
      weights,
      threads,
      lastLayer: config.layers[config.layers.length - 1],
      layers: config.layers,
      settings: config,
      batches: spec.batches.map((rows) => ({ edits: 1 + Math.max(...rows.map((row) => row.edit)), rows })),
      model: {
        ...{ layers, hiddenSize, heads, keyValueHeads, headSize, normEpsilon, tensors },
        frequencies: model.config.rotary.full?.frequencies,
        positions: Math.min(model.config.contextLength, 4096),
      },
    };
    const file = join(folder, 'model.json');
    await writeFile(file, JSON.stringify(description));
    const started = await startPython(python, 'model.py', file, signal);
    return 'missing' in started ? started : { torch: torchModel(started.program) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function torchModel(program: PythonProgram): TorchModel {
  return {
    version: program.version,
    device: program.device,
    async targets(batch, plain) {
      const { seconds, result } = await program.ask({ targets: batch, plain });
      return { seconds: seconds as number, losses: result as number[][] };
    },
    keys: async (batch) => (await program.ask({ keys: batch })).seconds as number,
    async generate(prompts, tokens) {
      const { seconds, result } = await program.ask({ generate: tokens, prompts });
      return { seconds: seconds as number, tokens: result as number[][] };
    },
    close: () => program.close(),
  };
}

/** Writes all weights, one after the other; returns where each begins, in values, and its shape. */
async function writeWeights(model: Model, path: string): Promise<Record<string, number[]>> {
  const { embedding, unembedding, finalNorm, layers } = model.weights;
  const named = [
    ['embedding', embedding],
    ['unembedding', unembedding],
    ['finalNorm', finalNorm],
    ...layers.flatMap((layer, i) => [
      [`${i}.qkv`, layer.queryKeyValue],
      [`${i}.out`, layer.output],
      [`${i}.gate`, layer.gate],
      [`${i}.up`, layer.up],
      [`${i}.down`, layer.down],
    ]),
  ] as [string, typeof embedding][];
  const places: Record<string, number[]> = {};
  const out = createWriteStream(path);
  let at = 0;
  for (const [name, tensor] of named) {
    const values = (await tensor.data()) as Float32Array;
    places[name] = [at, ...tensor.shape];
    at += values.length;
    if (!out.write(Buffer.from(values.buffer, values.byteOffset, values.byteLength))) await once(out, 'drain');
  }
  out.end();
  await once(out, 'finish');
  return places;
}
