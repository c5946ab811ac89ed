import { readFile } from 'node:fs/promises';
import { machineContext } from './context.js';
import { detectKind } from './detect.js';
import type { Check, ConformanceContext, ConformanceResult, FixtureKind } from './types.js';

export type { CheckOutcome, ConformanceContext, ConformanceResult, FixtureKind } from './types.js';

/** Checks are loaded when a fixture of their kind comes up: the algebra needs no model, the tokenizer no algebra. */
const checks: Record<FixtureKind, () => Promise<Check>> = {
  rls: async () => (await import('./rls.js')).checkRls,
  tokenizer: async () => (await import('./tokenizer.js')).checkTokenizer,
  model: async () => (await import('./model.js')).checkModel,
  gguf: async () => (await import('./gguf.js')).checkGguf,
};

/** Checks one fixture file of any kind; a file that cannot be read or is of no known kind fails with the reason. */
export async function checkFile(
  file: string,
  context: (kind: FixtureKind) => Promise<ConformanceContext>,
): Promise<ConformanceResult> {
  let kind: FixtureKind | null = null;
  try {
    const json: unknown = JSON.parse(await readFile(file, 'utf8'));
    kind = detectKind(json);
    if (kind === null) throw new Error('not a fixture of a known kind (rls, tokenizer, model, gguf)');
    const check = await checks[kind]();
    return { file, kind, ...(await check(json, await context(kind))) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { file, kind: kind ?? 'unknown', cases: 0, pass: false, error: message };
  }
}

/**
 * Checks fixture files one after the other and writes one JSON line a file.
 * @param write where the lines go
 * @returns the exit status: 1 when a file failed, else 0
 */
export async function runConformance(
  files: readonly string[],
  context = machineContext(),
  write: (line: string) => void = (line) => process.stdout.write(`${line}\n`),
): Promise<number> {
  let failed = files.length === 0;
  for (const file of files) {
    const result = await checkFile(file, context);
    failed ||= !result.pass;
    write(JSON.stringify(result));
  }
  return failed ? 1 : 0;
}
