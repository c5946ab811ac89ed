import { writeFile } from 'node:fs/promises';
import { editInputSchema } from '@errata/contracts';
import { locateTools } from '@errata/devstack';
import type { Command } from 'commander';
import { type ContextOf, fromHere, readGiven } from '../context.js';
import { UsageError } from '../failure.js';
import { textTable } from '../tables.js';
import type { TrialEdit } from '../tune/trial.js';

/** Share of rewrites below which a preset is of little use. */
const WEAK_REWRITE = 0.5;

interface TuneFlags {
  readonly model?: string;
  readonly edits?: string;
  readonly out: string;
  readonly sample: string;
  readonly seed: string;
}

/** `errata tune`. */
export function addTune(program: Command, contextOf: ContextOf): void {
  program
    .command('tune')
    .description('choose layers, w and clamp for a model on a sample of edits, and write a preset')
    .option('--model <file>', 'weights (default: the installed model)')
    .option('--edits <file>', 'NDJSON of edits with paraphrases and neighbours (default: the examples)')
    .option('--out <file>', 'where the preset goes', 'preset.json')
    .option('--sample <n>', 'edits of the sample', '10')
    .option('--seed <n>', 'which edits of the file', '1')
    .addHelpText('after', '\nExample:\n  errata tune --edits corrections.ndjson --out preset.json')
    .action(async (flags: TuneFlags, command: Command) => {
      const context = contextOf(command);
      const { wholeNumber } = await import('../bench/options.js');
      const { openParts } = await import('../bench/bench-engine.js');
      const { exampleEdits } = await import('../bench/model-bench.js');
      const { disposeModel, loadModel } = await import('@errata/model');
      const { createEngine } = await import('@errata/tensor');
      const { tune } = await import('../tune/tune.js');
      const sample = wholeNumber('--sample', flags.sample, 2, 1000);
      const seed = wholeNumber('--seed', flags.seed, 0, 2 ** 32 - 1);
      const path = flags.model === undefined ? locateTools(context.env).modelPath : fromHere(context.env, flags.model);
      if (path === undefined)
        throw new UsageError('no model is installed: run "npm run setup", or name one with --model');
      const edits = await readTrialEdits(flags.edits === undefined ? exampleEdits : fromHere(context.env, flags.edits));
      const parts = await openParts('native');
      context.output.live(`loading ${path}`);
      const model = await loadModel({ engine: await createEngine(), path });
      try {
        const { signal } = context;
        const result = await tune(model, parts, { edits, sample, seed, signal, onProgress: context.output.live });
        context.output.done();
        const out = fromHere(context.env, flags.out);
        await writeFile(out, `${JSON.stringify(result.preset, null, 2)}\n`);
        context.output.line(
          `Wrote ${out}. Next: errata streams create --model ${model.config.name} --preset ${flags.out}`,
        );
        const best = Math.max(...result.trials.map(({ rewrite }) => rewrite));
        if (best < WEAK_REWRITE)
          context.output.line(
            `No setting wrote more than ${Math.round(100 * best)} % of the sample: streams with this preset will be weak. Try other edits (docs/writing-edits.md) or a larger model.`,
          );
        const percent = (share: number) => `${Math.round(100 * share)} %`;
        context.result({ out, ...result }, () =>
          textTable(
            ['layers', 'w', 'clamp', '1 + kᵀC₀k', 'rewrite', 'paraphrase', 'neighbours', 'score'],
            result.trials.map((trial) => [
              trial.layers.join(', '),
              trial.covarianceWeight,
              trial.clamp,
              trial.keyGain.toFixed(0),
              percent(trial.rewrite),
              percent(trial.paraphrase),
              percent(trial.neighbours),
              trial.score.toFixed(3),
            ]),
          ),
        );
      } finally {
        disposeModel(model);
        await parts.engine.dispose();
      }
    });
}

/** @throws UsageError naming the line */
export async function readTrialEdits(path: string): Promise<TrialEdit[]> {
  const text = await readGiven(path);
  const edits = text.split('\n').flatMap((line, i) => {
    if (line.trim() === '') return [];
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      throw new UsageError(`${path}, line ${i + 1} is not JSON`);
    }
    const parsed = editInputSchema.safeParse(value);
    if (!parsed.success) throw new UsageError(`${path}, line ${i + 1}: ${parsed.error.issues[0].message}`);
    return [parsed.data];
  });
  if (edits.length === 0) throw new UsageError(`${path} holds no edits`);
  return edits;
}
