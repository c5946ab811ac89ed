import { defaultSearchBytes, KeyFinder, resolveTargets } from '@errata/editor';
import { generate, sampleSequences, secondMoments } from '@errata/model';
import { watchMemory } from './memory.js';
import { benchModel, type ModelBenchOptions, type ModelBenchReport, type ModelBenchRun } from './model-bench.js';

/** Sequences of a sampled covariance that run side by side. */
const sampledSequences = 32;

/** Resident memory of the process around one kind of work. */
export interface MemoryPhase {
  readonly work: string;
  /** At its highest while the work ran. */
  readonly peakResidentBytes: number;
  /** When it had ended. */
  readonly residentBytes: number;
}

/** Result of `bench memory`: what a process that holds the model takes for each kind of work a runtime does. */
export interface MemoryReport extends ModelBenchReport {
  readonly weightBytes: number;
  readonly phases: readonly MemoryPhase[];
}

/** Does each kind of work of a model runtime once, in one process. */
export async function benchMemory(
  options: ModelBenchOptions & { readonly tokens: number },
  run: ModelBenchRun,
): Promise<MemoryReport> {
  const { tokens } = options;
  const report = await benchModel(options, { ...run, python: null }, async ({ model, config, batches, pause }) => {
    const memory = watchMemory();
    const weightBytes = model.engine.tf.memory().numBytes;
    const phases: MemoryPhase[] = [];
    const works: readonly [string, () => Promise<unknown>][] = [
      ['weights', pause],
      ['targets', () => resolveTargets(model, batches[0], config, { pause, memoryBytes: defaultSearchBytes })],
      [
        'keys',
        async () => {
          const finder = new KeyFinder(model);
          const request = { edits: batches[0], config, deltas: new Map(), version: () => 'base', pause };
          for (const layer of config.layers) await finder.find({ ...request, layer });
          finder.dispose();
        },
      ],
      [
        'generation',
        () =>
          generate(
            model,
            batches[0].map(({ prompt, subject }) => prompt.replace('{}', subject ?? '')),
            { maxTokens: tokens, pause },
          ),
      ],
      [
        'sampled covariance',
        async () => {
          const shape = { first: 0, count: sampledSequences, length: tokens };
          const sequences = await sampleSequences(model, { ...shape, seed: 1, pause });
          await secondMoments(model, sequences, config.layers, { pause });
        },
      ],
    ];
    for (const [work, begin] of works) {
      run.onProgress(work);
      memory.reset();
      await begin();
      phases.push({ work, peakResidentBytes: memory.peak(), residentBytes: memory.now() });
    }
    return { weightBytes, phases };
  });
  // Each kind of work began by setting the high-water mark back.
  return { ...report, peakResidentBytes: Math.max(...report.phases.map((phase) => phase.peakResidentBytes)) };
}
