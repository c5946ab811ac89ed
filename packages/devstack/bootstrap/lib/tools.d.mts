/** Programs and files that set-up provides; undefined where set-up has not put them there. */
export interface Tools {
  readonly repoRoot: string;
  readonly cacheDir: string;
  /** Undefined where the environment names a model without saying what it is called: its own name counts. */
  readonly modelName: string | undefined;
  /** A Hugging Face folder or a GGUF file. */
  readonly modelPath: string | undefined;
  /** The Temporal command line program, which holds the dev server. */
  readonly temporal: string | undefined;
  /** The time-skipping Temporal test server. */
  readonly testServer: string | undefined;
  /** Prometheus, with promtool beside it. */
  readonly prometheus: string | undefined;
  /** Description of a Vulkan driver that computes on the CPU, beside its loader. */
  readonly softwareVulkan: string | undefined;
}
export function locateTools(env?: Readonly<Record<string, string | undefined>>): Tools;
