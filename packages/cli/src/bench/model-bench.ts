import { readFile } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { EditorConfig } from '@errata/contracts';
import { locateTools } from '@errata/devstack';
import { type EditText, requirePreset } from '@errata/editor';
import { targetRows } from '@errata/editor/baselines';
import { disposeModel, loadModel, type Model, type Pause } from '@errata/model';
import { createEngine } from '@errata/tensor';
import { UsageError } from '../failure.js';
import { type Provenance, provenance } from './machine.js';
import { watchMemory } from './memory.js';
import { wholeNumber } from './options.js';
import { startTorchModel, type TorchModel } from './torch-model.js';

/** The examples of the project, one edit a line. */
export const exampleEdits = fileURLToPath(new URL('../../../../examples/edits.ndjson', import.meta.url));

/** What `bench targets|keys|generate` run. */
export interface ModelBenchOptions {
  readonly edits: number;
  readonly batch: number;
  /** Weight file; the installed model when left out. */
  readonly model?: string;
}

export interface ModelBenchRun {
  /** The Python to compare with; null for none. */
  readonly python: string | null;
  readonly signal: AbortSignal;
  readonly env: Readonly<Record<string, string | undefined>>;
  onProgress(text: string): void;
}

/** Fields that all three reports have. */
export interface ModelBenchReport extends Provenance {
  readonly model: string;
  readonly engine: string;
  readonly engineDescription: string;
  readonly threads: number;
  readonly edits: number;
  readonly batch: number;
  /** Resident memory of the process at its highest, PyTorch's process not in it. */
  readonly peakResidentBytes: number;
  /** Tensors of the engine before the first and after the last timed work, and their difference. */
  readonly tensorsBefore: number;
  readonly tensorsAfter: number;
  readonly leakedTensors: number;
  readonly torch: { readonly version: string | null; readonly missing: string | null };
  /** Programs that wanted to run in the minute before; well above zero, the machine was not idle. */
  readonly loadBefore: number;
}

/** Options as the command line has them. @throws UsageError */
export function parseModelOptions(raw: { edits: string; batch: string; model?: string }): ModelBenchOptions {
  const edits = wholeNumber('--edits', raw.edits, 1, 100_000);
  const batch = wholeNumber('--batch', raw.batch, 1, 256);
  return { edits, batch: Math.min(batch, edits), ...(raw.model !== undefined && { model: raw.model }) };
}

/** What a benchmark of the model works with. */
export interface ModelBench {
  readonly model: Model;
  readonly config: EditorConfig;
  readonly batches: readonly (readonly EditText[])[];
  readonly torch: TorchModel | null;
  /** To be awaited between steps, so that a signal can arrive; throws when the benchmark is interrupted. */
  readonly pause: Pause;
}

/**
 * Loads the model and the example edits (over and over where more are asked for), starts PyTorch, runs `work`, and
 * adds to what it found the fields that all reports have.
 * @throws UsageError when there is no model; ErrataError INVALID_REQUEST when there is no preset for it
 */
export async function benchModel<Found extends object>(
  options: ModelBenchOptions,
  run: ModelBenchRun,
  work: (bench: ModelBench) => Promise<Found>,
): Promise<Found & ModelBenchReport> {
  const [loadBefore] = loadavg();
  const path = options.model ?? locateTools(run.env).modelPath;
  if (path === undefined) throw new UsageError('no model is installed: run "npm run setup", or name one with --model');
  const memory = watchMemory();
  memory.reset();
  run.onProgress(`loading ${path}`);
  const engine = await createEngine();
  const model = await loadModel({ engine, path });
  const threads = availableParallelism();
  let torch: TorchModel | null = null;
  try {
    const config = { ...requirePreset(model.config), batchSize: options.batch };
    const batches = inBatches(await readEdits(options.edits), options.batch);
    let missing: string | null = 'left out (--no-compare)';
    if (run.python !== null) {
      run.onProgress('starting PyTorch');
      const rows = batches.map((edits) => targetRows(model, edits, config));
      const started = await startTorchModel(run.python, { model, config, threads, batches: rows }, run.signal);
      if ('missing' in started) missing = started.missing;
      else {
        torch = started.torch;
        missing = null;
      }
    }
    const tensorsBefore = engine.tf.memory().numTensors;
    const pause = async (): Promise<void> => {
      await new Promise((resolve) => setImmediate(resolve));
      run.signal.throwIfAborted();
    };
    const found = await work({ model, config, batches, torch, pause });
    const tensorsAfter = engine.tf.memory().numTensors;
    return {
      ...found,
      model: model.config.name,
      engine: engine.name,
      engineDescription: engine.version,
      threads,
      edits: options.edits,
      batch: options.batch,
      peakResidentBytes: memory.peak(),
      tensorsBefore,
      tensorsAfter,
      leakedTensors: tensorsAfter - tensorsBefore,
      torch: { version: torch?.version ?? null, missing },
      loadBefore,
      ...(await provenance()),
    };
  } finally {
    await torch?.close();
    disposeModel(model);
  }
}

/** The example edits, from the beginning again where they do not suffice. */
export async function readEdits(count: number): Promise<EditText[]> {
  const lines = (await readFile(exampleEdits, 'utf8')).split('\n').filter((line) => line.trim() !== '');
  return Array.from({ length: count }, (_, i) => JSON.parse(lines[i % lines.length]) as EditText);
}

function inBatches(edits: readonly EditText[], size: number): EditText[][] {
  return Array.from({ length: Math.ceil(edits.length / size) }, (_, i) => edits.slice(i * size, (i + 1) * size));
}

/** Seconds that some work took, with its result. */
export async function timed<Result>(work: () => Promise<Result>): Promise<{ seconds: number; result: Result }> {
  const begun = performance.now();
  const result = await work();
  return { seconds: (performance.now() - begun) / 1000, result };
}
