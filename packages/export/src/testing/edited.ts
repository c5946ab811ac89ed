import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Architecture,
  architectureOf,
  createDelta,
  type Deltas,
  type Model,
  type ModelFiles,
} from '@errata/model';
import { ExportFolder } from '../export-folder.js';
import { type ExportIdentity, type ExportOptions, exportModel } from '../export-model.js';
import type { LayerFactors } from '../factors.js';
import type { ExportSource } from '../source.js';

export const noPause = async (): Promise<void> => undefined;

export const identity: ExportIdentity = {
  model: { id: 'f'.repeat(64), name: 'tiny', architecture: 'llama' },
  stream: { id: 'str_1', name: 'facts' },
  seq: 3,
  logHash: 'a'.repeat(64),
  configHash: 'c'.repeat(64),
};

/** Deterministic numbers in [−1, 1). */
export function randoms(count: number, seed: number): Float64Array {
  let state = seed >>> 0;
  return Float64Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** Changes of layers that move the logits of a tiny model well. */
export function randomFactors(architecture: Architecture, layers: readonly number[], rank: number): LayerFactors[] {
  const { hiddenSize: outputs, intermediateSize: inputs } = architecture.config;
  return layers.map((layer) => ({
    layer,
    inputs,
    outputs,
    rank,
    b: Float32Array.from(randoms(outputs * rank, 7 * layer + 1), (x) => 0.3 * x),
    g: Float32Array.from(randoms(inputs * rank, 7 * layer + 2), (x) => 0.3 * x),
  }));
}

export function sourceOf(files: ModelFiles, rank = 5): ExportSource {
  const architecture = architectureOf(files);
  return { files, architecture, modelName: 'tiny', layers: randomFactors(architecture, [1, 2], rank), pause: noPause };
}

/** The same changes on a loaded model. */
export function deltasOf(model: Model, layers: readonly LayerFactors[]): Deltas {
  return new Map(
    layers.flatMap(({ layer, rank, b, g }) => {
      const delta = createDelta(model, layer, { rank, left: b, right: g });
      return delta ? [[layer, delta] as const] : [];
    }),
  );
}

/** A folder for the length of a test. */
export async function temporaryRoot(): Promise<{ root: string; remove: () => Promise<void> }> {
  const root = await mkdtemp(join(tmpdir(), 'errata-export-'));
  return { root, remove: () => rm(root, { recursive: true, force: true }) };
}

export async function exportTo(
  root: string,
  name: string,
  source: ExportSource,
  options: Partial<ExportOptions> & Pick<ExportOptions, 'format'>,
) {
  const folder = new ExportFolder(root, name, 'exp_1');
  const manifest = await exportModel(source, identity, { dtype: 'fp32', maxRank: 64, ...options }, folder);
  return { manifest, path: folder.path };
}
