import { generate, promptIds } from '@errata/model';
import { benchModel, type ModelBenchOptions, type ModelBenchReport, type ModelBenchRun, timed } from './model-bench.js';
import { median } from './statistics.js';

/** Result of `bench generate`: greedy continuation with a cache of keys and values. Ratios are our time over theirs. */
export interface GenerateReport extends ModelBenchReport {
  /** All prompts of a batch together. */
  readonly tokensPerSecond: number;
  readonly singleTokensPerSecond: number;
  readonly torchTokensPerSecond: number | null;
  readonly singleTorchTokensPerSecond: number | null;
  readonly ratioToTorch: number | null;
  readonly singleRatioToTorch: number | null;
  readonly tokens: number;
  readonly rounds: number;
}

/** A prompt of which no end is near: every row runs to its last token. */
const prompt =
  'Here is a long list of the names of towns and rivers, one after the other: Aachen, Aalen, Ahaus, Alfeld,';

/** Times greedy generation of a batch of prompts and of one. */
export function benchGenerate(
  options: ModelBenchOptions & { readonly rounds: number; readonly tokens: number },
  run: ModelBenchRun,
): Promise<GenerateReport> {
  return benchModel(options, run, async ({ model, torch, pause }) => {
    const rates = { batch: [] as number[], single: [] as number[], torch: [] as number[], torchSingle: [] as number[] };
    const ids = promptIds(model, prompt);
    const ours = async (rows: number): Promise<number> => {
      let made = 0;
      const { seconds } = await timed(async () => {
        const texts = await generate(model, Array(rows).fill(prompt), { maxTokens: options.tokens, pause });
        made = texts.reduce((sum, text) => sum + model.tokenizer.ids(text).length, 0);
      });
      return made / seconds;
    };
    const theirs = async (rows: number): Promise<number> => {
      if (!torch) return Number.NaN;
      const { seconds, tokens } = await torch.generate(Array(rows).fill(ids), options.tokens);
      return tokens.flat().length / seconds;
    };
    await ours(2);
    await theirs(2);
    for (let round = 0; round < options.rounds; round++) {
      await pause();
      run.onProgress(`round ${round + 1} of ${options.rounds}`);
      rates.batch.push(await ours(options.batch));
      rates.torch.push(await theirs(options.batch));
      rates.single.push(await ours(1));
      rates.torchSingle.push(await theirs(1));
    }
    const [tokensPerSecond, single] = [median(rates.batch), median(rates.single)];
    return {
      tokensPerSecond,
      singleTokensPerSecond: single,
      torchTokensPerSecond: torch && median(rates.torch),
      singleTorchTokensPerSecond: torch && median(rates.torchSingle),
      ratioToTorch: torch && median(rates.torch) / tokensPerSecond,
      singleRatioToTorch: torch && median(rates.torchSingle) / single,
      tokens: options.tokens,
      rounds: options.rounds,
    };
  });
}
