import {
  guardActions as allActions,
  type BatchKind,
  type BatchSeconds,
  budgetNames,
  probeKinds,
} from '@errata/contracts';
import type { MemberState } from '@errata/rpc';
import type { ClaimedBatch } from '@errata/store';
import { type Latencies, latencies } from '@errata/telemetry';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

const phasesOf: Readonly<Record<BatchKind, readonly (keyof BatchSeconds)[]>> = {
  apply: ['targets', 'keys', 'update', 'total'],
  revoke: ['update', 'total'],
};

/** Metrics of the pipeline. Labels are bounded: names of activities, steps and errors, never streams or edits. */
export interface ActivityMetrics {
  /** Names the trace that an activity belongs to, where the page has room for that. */
  readonly activitySeconds: Latencies<'activity' | 'outcome'>;
  readonly activityFailures: Counter<'activity' | 'code'>;
  readonly layerSeconds: Histogram<'step'>;
  readonly batchSeconds: Histogram<'kind' | 'phase'>;
  readonly editsWritten: Counter<'kind'>;
  readonly editsAsked: Counter<'outcome'>;
  readonly targetSteps: Histogram<never>;
  readonly workerUp: Gauge<'worker'>;
  readonly runtimeUp: Gauge<'runtime'>;
  readonly probeSeconds: Histogram<'kind'>;
  readonly probesSkipped: Counter<'kind'>;
  readonly probesRefused: Counter<'kind'>;
  readonly guardActions: Counter<'budget' | 'action'>;
  readonly webhooks: Counter<'outcome'>;
}

export function createMetrics(registry: Registry): ActivityMetrics {
  const registers = [registry];
  const buckets = [0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300];
  const metrics: ActivityMetrics = {
    activitySeconds: latencies(registry, {
      name: 'errata_activity_duration_seconds',
      help: 'Time of one run of an activity',
      labelNames: ['activity', 'outcome'],
      buckets,
    }),
    activityFailures: new Counter({
      name: 'errata_activity_failures_total',
      help: 'Runs of an activity that failed, by code of the error',
      labelNames: ['activity', 'code'],
      registers,
    }),
    layerSeconds: new Histogram({
      name: 'errata_layer_step_duration_seconds',
      help: 'Time of one layer of a batch, by step',
      labelNames: ['step'],
      buckets,
      registers,
    }),
    batchSeconds: new Histogram({
      name: 'errata_batch_phase_duration_seconds',
      help: 'Time of a committed batch, by phase; total runs from its claim to its commit',
      labelNames: ['kind', 'phase'],
      buckets,
      registers,
    }),
    editsWritten: new Counter({
      name: 'errata_edits_committed_total',
      help: 'Edits of committed batches: written (apply) or taken out (revoke)',
      labelNames: ['kind'],
      registers,
    }),
    editsAsked: new Counter({
      name: 'errata_edits_asked_total',
      help: 'Edits asked of the model after their batch: answered with their target (verified) or not (missed)',
      labelNames: ['outcome'],
      registers,
    }),
    targetSteps: new Histogram({
      name: 'errata_target_search_steps',
      help: 'Adam steps an edit took',
      buckets: [1, 2, 4, 8, 12, 16, 20, 25, 40],
      registers,
    }),
    workerUp: new Gauge({
      name: 'errata_shard_worker_up',
      help: 'Whether a shard worker serves (1) or others hold its shards (0)',
      labelNames: ['worker'],
      registers,
    }),
    runtimeUp: new Gauge({
      name: 'errata_model_runtime_up',
      help: 'Whether a model runtime counts as up (1) or others serve its streams (0); a single one is not watched',
      labelNames: ['runtime'],
      registers,
    }),
    probeSeconds: new Histogram({
      name: 'errata_probe_duration_seconds',
      help: 'Time of one kind of probe in a round',
      labelNames: ['kind'],
      buckets,
      registers,
    }),
    probesSkipped: new Counter({
      name: 'errata_probes_skipped_total',
      help: 'Kinds of probes left out of a round: no budget for them, or nothing to ask',
      labelNames: ['kind'],
      registers,
    }),
    probesRefused: new Counter({
      name: 'errata_probes_refused_total',
      help: 'Kinds of probes that the model runtime refused',
      labelNames: ['kind'],
      registers,
    }),
    guardActions: new Counter({
      name: 'errata_guard_actions_total',
      help: 'What guards did, by budget',
      labelNames: ['budget', 'action'],
      registers,
    }),
    webhooks: new Counter({
      name: 'errata_webhook_deliveries_total',
      help: 'Notifications of guards that were delivered, or given up',
      labelNames: ['outcome'],
      registers,
    }),
  };
  // There from the start: what appears with its first batch has no increase by it.
  for (const [kind, phases] of Object.entries(phasesOf)) {
    metrics.editsWritten.inc({ kind }, 0);
    for (const phase of phases) metrics.batchSeconds.zero({ kind, phase });
  }
  for (const outcome of ['verified', 'missed']) metrics.editsAsked.inc({ outcome }, 0);
  for (const outcome of ['delivered', 'failed']) metrics.webhooks.inc({ outcome }, 0);
  for (const kind of probeKinds) {
    metrics.probeSeconds.zero({ kind });
    metrics.probesSkipped.inc({ kind }, 0);
    metrics.probesRefused.inc({ kind }, 0);
  }
  for (const budget of budgetNames)
    for (const action of allActions.slice(1)) metrics.guardActions.inc({ budget, action }, 0);
  return metrics;
}

/** Counts a committed batch. A commit that is repeated because its answer was lost counts again. */
export function observeBatch(metrics: ActivityMetrics, { kind, edits }: ClaimedBatch, seconds: BatchSeconds): void {
  for (const phase of phasesOf[kind]) metrics.batchSeconds.observe({ kind, phase }, seconds[phase]);
  metrics.editsWritten.inc({ kind }, edits.length);
}

/** Shows which servers are up: 1, or 0 while others stand in, and nothing more of one that left. */
export function followMembers<Label extends string>(
  gauge: Gauge<Label>,
  label: Label,
): (address: string, state: MemberState) => void {
  return (address, state) => {
    const labels = { [label]: address } as Record<Label, string>;
    if (state === 'left') gauge.remove(labels);
    else gauge.set(labels, state === 'up' ? 1 : 0);
  };
}
