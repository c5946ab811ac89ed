import type { HeadChange } from '@errata/contracts';
import type { BatchPlan, StepSeconds } from './activities.js';
import { compute, records } from './proxies.js';

/** What came of a batch. */
export interface BatchResult {
  readonly change: HeadChange;
  /** What measuring its drift took; null where nothing of it was left to be written. */
  readonly driftSeconds: number | null;
}

/** Carries a claimed batch to its commit: targets, then layer by layer, then one transaction; then measures what it did. */
export async function runBatch(streamId: string, plan: BatchPlan): Promise<BatchResult> {
  const { seq } = plan;
  if (plan.kind === 'revoke') return runRevoke(streamId, plan);
  if (plan.supersedes !== null) await revokeLayers(streamId, plan.supersedes, plan.layers);
  const resolved = await compute.resolveTargets({ streamId, seq });
  let seconds: StepSeconds = { targets: resolved.seconds, keys: 0, update: 0 };
  if (resolved.edits > 0) {
    for (const layer of plan.layers) {
      const step = await compute.applyLayer({ streamId, seq, layer });
      seconds = { ...seconds, keys: seconds.keys + step.keysSeconds, update: seconds.update + step.updateSeconds };
    }
  }
  const change = await records.commitBatch({ streamId, seq, seconds });
  if (resolved.edits === 0) return { change, driftSeconds: null };
  await compute.verifyBatch({ streamId, seq });
  return { change, driftSeconds: await measureDrift(streamId, seq) };
}

async function runRevoke(streamId: string, plan: BatchPlan): Promise<BatchResult> {
  const update = await revokeLayers(streamId, plan.seq, plan.layers);
  const change = await records.commitBatch({ streamId, seq: plan.seq, seconds: { targets: 0, keys: 0, update } });
  return { change, driftSeconds: await measureDrift(streamId, plan.seq) };
}

async function measureDrift(streamId: string, seq: number): Promise<number> {
  return (await compute.measureDrift({ streamId, seq }))?.seconds ?? 0;
}

async function revokeLayers(streamId: string, seq: number, layers: readonly number[]): Promise<number> {
  let seconds = 0;
  for (const layer of layers) seconds += (await compute.revokeLayer({ streamId, seq, layer })).updateSeconds;
  return seconds;
}
