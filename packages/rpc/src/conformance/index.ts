import type { EditorConfig } from '@errata/contracts';
import type { CallLimits } from '../calls.js';
import type { ModelRuntime } from '../client.js';
import { type Case, demand, type Subject } from './case.js';
import { covarianceCases } from './covariance-cases.js';
import { editCases } from './edit-cases.js';
import { textCases } from './text-cases.js';

/** Outcome of one requirement. */
export interface CaseResult {
  readonly name: string;
  readonly pass: boolean;
  readonly seconds: number;
  /** What was found instead. */
  readonly reason?: string;
}

const cases: readonly Case[] = [...textCases, ...editCases, ...covarianceCases];

/** Names of all requirements, in the order they are checked. */
export const modelRuntimeCases: readonly string[] = ['info: complete', ...cases.map(({ name }) => name)];

/**
 * Checks that a model runtime keeps the contract of errata.v1.ModelRuntimeService, on the unedited model. Needs no
 * stream; a runtime without access to the log can be checked but for its answer to a state that nobody knows.
 *
 * @param limits of each single call
 */
export async function* checkModelRuntime(runtime: ModelRuntime, limits: CallLimits): AsyncGenerator<CaseResult> {
  let subject: Subject | null = null;
  const open = async () => {
    subject = await subjectOf(runtime, limits);
  };
  yield await resultOf(modelRuntimeCases[0], open);
  if (subject === null) return;
  for (const { name, run } of cases) yield await resultOf(name, () => run(subject as Subject));
}

async function resultOf(name: string, run: () => Promise<void>): Promise<CaseResult> {
  const begun = performance.now();
  const seconds = () => (performance.now() - begun) / 1000;
  try {
    await run();
    return { name, pass: true, seconds: seconds() };
  } catch (error) {
    return { name, pass: false, seconds: seconds(), reason: error instanceof Error ? error.message : String(error) };
  }
}

async function subjectOf(runtime: ModelRuntime, limits: CallLimits): Promise<Subject> {
  const info = await runtime.info(limits);
  demand(info.modelId !== '', () => 'model_id is empty');
  demand(info.name !== '', () => 'name is empty');
  for (const field of ['layers', 'hiddenSize', 'intermediateSize', 'vocabularySize', 'contextLength'] as const)
    demand(info[field] > 0, () => `${field} is ${info[field]}`);
  // Early layers, where edits are written in practice.
  const first = Math.floor(info.layers / 4);
  const layers = info.layers === 1 ? [0] : [first, first + 1];
  const config: EditorConfig = {
    layers,
    lambda: 1,
    mu: 1,
    covarianceWeight: 1000,
    covarianceTokens: 1000,
    batchSize: 8,
    templates: ['{}', 'It is known that {}'],
    learningRate: 0.5,
    maxSteps: 6,
    stopLoss: 0.05,
    clamp: 0.75,
    klWeight: 0.0625,
    weightDecay: 1e-3,
  };
  return { runtime, info, configJson: JSON.stringify(config), layers, clamp: config.clamp, limits };
}
