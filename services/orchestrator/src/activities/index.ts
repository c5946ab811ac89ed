import { type Checkpoint, type HeadChange, headChange, type Stream, toErrataError } from '@errata/contracts';
import type { ClaimedBatch } from '@errata/store';
import { spanned } from '@errata/telemetry';
import type {
  BatchPlan,
  CovarianceActivities,
  CovarianceArgs,
  ExportActivities,
  RepairActivities,
  SnapshotActivities,
  SnapshotArgs,
  StreamActivities,
  WebhookActivities,
} from '@errata/workflows';
import { activityInfo } from '@temporalio/activity';
import { observeBatch } from '../metrics.js';
import { type Dependencies, secondsSince } from './context.js';
import { addCovarianceSlice, finishCovariances, planCovariance, requestCovariances } from './covariance.js';
import { endExport, runExport } from './export.js';
import { guard } from './guard.js';
import { applyLayer, revokeLayer } from './layers.js';
import { evaluate, measureDrift, verifyBatch } from './measure.js';
import { prepareStream } from './prepare.js';
import { findGood, probeBatch } from './probe-round.js';
import { beginPublication, fallBack, loadAdapter, moveAlias, unloadPrevious, verifyAdapter } from './publish.js';
import { repairLog } from './repair.js';
import { resolveTargets } from './resolve.js';
import { finishRevocation } from './revocations.js';
import { takeSnapshot } from './snapshot.js';
import { spanOf } from './trace.js';
import { failWebhook, sendWebhook } from './webhooks.js';

type AllActivities = StreamActivities &
  CovarianceActivities &
  SnapshotActivities &
  RepairActivities &
  ExportActivities &
  WebhookActivities;

/** The activities of the workflows, bound to their dependencies: each guarded and timed. */
export function createActivities(dependencies: Dependencies): AllActivities {
  const { store, logger, metrics } = dependencies;
  const activity = <Args, Result>(
    name: keyof AllActivities,
    work: (args: Args, signal: AbortSignal) => Promise<Result>,
  ) =>
    guard<Args, Result>(logger, name, (args, signal) =>
      spanned(`activity ${name}`, spanOf(args), async () => {
        const start = performance.now();
        const observe = (outcome: 'ok' | 'error') =>
          metrics.activitySeconds.observe({ activity: name, outcome }, secondsSince(start));
        try {
          const result = await work(args, signal);
          observe('ok');
          return result;
        } catch (error) {
          observe('error');
          metrics.activityFailures.inc({ activity: name, code: toErrataError(error).code });
          throw error;
        }
      }),
    );

  const exporting = <Name extends keyof ExportActivities>(
    name: Name,
    work: (
      parts: Dependencies,
      args: Parameters<ExportActivities[Name]>[0],
      signal: AbortSignal,
    ) => Promise<Awaited<ReturnType<ExportActivities[Name]>>>,
  ) =>
    activity<Parameters<ExportActivities[Name]>[0], Awaited<ReturnType<ExportActivities[Name]>>>(name, (args, signal) =>
      work(dependencies, args, signal),
    );

  return {
    runExport: exporting('runExport', runExport),
    endExport: exporting('endExport', endExport),
    beginPublication: exporting('beginPublication', beginPublication),
    loadAdapter: exporting('loadAdapter', loadAdapter),
    verifyAdapter: exporting('verifyAdapter', verifyAdapter),
    moveAlias: exporting('moveAlias', moveAlias),
    unloadPrevious: exporting('unloadPrevious', unloadPrevious),
    fallBack: exporting('fallBack', fallBack),
    endPublication: exporting('endPublication', (_parts, { publicationId, status, detail }) =>
      store.endPublication(publicationId, status, detail),
    ),
    requestCovariances: activity('requestCovariances', ({ streamId }: { streamId: string }) =>
      requestCovariances(dependencies, streamId),
    ),
    planCovariance: activity('planCovariance', (args: CovarianceArgs, signal) =>
      planCovariance(dependencies, args, signal),
    ),
    addCovarianceSlice: activity(
      'addCovarianceSlice',
      (args: Parameters<CovarianceActivities['addCovarianceSlice']>[0], signal) =>
        addCovarianceSlice(dependencies, args, signal),
    ),
    finishCovariances: activity(
      'finishCovariances',
      (args: Parameters<CovarianceActivities['finishCovariances']>[0], signal) =>
        finishCovariances(dependencies, args, signal),
    ),
    prepareStream: activity('prepareStream', ({ streamId }: { streamId: string }, signal) =>
      prepareStream(dependencies, streamId, signal),
    ),
    failStream: activity('failStream', ({ streamId, detail }: { streamId: string; detail: string }) =>
      store.setStreamStatus(streamId, 'failed', detail),
    ),
    nextWork: activity('nextWork', async ({ streamId, at, held }: Parameters<StreamActivities['nextWork']>[0]) => {
      const stream = await store.getStream(streamId);
      const work = await store.nextWork(streamId, { limit: stream.config.batchSize, at, held });
      return { ...work, batch: work.batch && planOf(stream, work.batch) };
    }),
    finishRevocation: activity(
      'finishRevocation',
      (args: Parameters<StreamActivities['finishRevocation']>[0], signal) =>
        finishRevocation(dependencies, args, signal),
    ),
    failRevocation: activity(
      'failRevocation',
      async ({ streamId, revocationId, code, message }: Parameters<StreamActivities['failRevocation']>[0]) => {
        const { cause } = await store.failRevocation(streamId, revocationId, { code, message });
        return { cause };
      },
    ),
    claimBatch: activity('claimBatch', async ({ streamId }: { streamId: string }) => {
      const stream = await store.getStream(streamId);
      const batch = await store.claimBatch(streamId, stream.config.batchSize);
      return batch && planOf(stream, batch);
    }),
    claimRevoke: activity(
      'claimRevoke',
      async (args: { streamId: string; editIds: readonly string[]; reason: string | null }) => {
        const stream = await store.getStream(args.streamId);
        return planOf(stream, await store.claimRevoke(args.streamId, args.editIds, args.reason));
      },
    ),
    releaseBatch: activity('releaseBatch', ({ streamId, seq }: BatchArgs) => store.releaseBatch(streamId, seq)),
    resolveTargets: activity('resolveTargets', ({ streamId, seq }: BatchArgs, signal) =>
      resolveTargets(dependencies, streamId, seq, signal),
    ),
    applyLayer: activity('applyLayer', ({ streamId, seq, layer }: LayerArgs, signal) =>
      applyLayer(dependencies, streamId, seq, layer, signal),
    ),
    revokeLayer: activity('revokeLayer', ({ streamId, seq, layer }: LayerArgs, signal) =>
      revokeLayer(dependencies, streamId, seq, layer, signal),
    ),
    commitBatch: activity(
      'commitBatch',
      async ({ streamId, seq, seconds }: Parameters<StreamActivities['commitBatch']>[0]) => {
        const batch = await store.getClaimedBatch(streamId, seq);
        const total = (Date.now() - Date.parse(batch.createdAt)) / 1000;
        const change = await store.commitBatch(streamId, seq, { ...seconds, total });
        observeBatch(metrics, batch, { ...seconds, total });
        await dependencies.snapshots?.consider(streamId, change.head);
        return headChange(
          change.head,
          change.hash,
          batch.edits.map((edit) => edit.id),
        );
      },
    ),
    takeSnapshot: activity('takeSnapshot', (args: SnapshotArgs, signal) => takeSnapshot(dependencies, args, signal)),
    repairLog: activity('repairLog', ({ streamId }: { streamId: string }, signal) =>
      repairLog(dependencies, streamId, signal),
    ),
    verifyBatch: activity('verifyBatch', ({ streamId, seq }: BatchArgs, signal) =>
      verifyBatch(dependencies, streamId, seq, signal),
    ),
    measureDrift: activity('measureDrift', ({ streamId, seq }: BatchArgs, signal) =>
      measureDrift(dependencies, streamId, seq, signal),
    ),
    probeBatch: activity('probeBatch', (args: Parameters<StreamActivities['probeBatch']>[0], signal) =>
      probeBatch(dependencies, args, signal),
    ),
    findGood: activity('findGood', (args: Parameters<StreamActivities['findGood']>[0], signal) =>
      findGood(dependencies, args, signal),
    ),
    carryOutGuard: activity(
      'carryOutGuard',
      async ({ streamId, ...order }: Parameters<StreamActivities['carryOutGuard']>[0]) => {
        const { head, delivery, quarantined } = await store.carryOutGuard(streamId, order);
        for (const { budget } of order.trips) metrics.guardActions.inc({ budget, action: order.action });
        logger.warn({ streamId, ...order, head, quarantined }, 'a guard has acted');
        return { head, delivery };
      },
    ),
    sendWebhook: activity('sendWebhook', (args: { deliveryId: string }, signal) =>
      sendWebhook(dependencies, args, activityInfo().attempt, signal),
    ),
    failWebhook: activity('failWebhook', (args: { deliveryId: string; detail: string }) =>
      failWebhook(dependencies, args),
    ),
    rollback: activity(
      'rollback',
      async ({ streamId, seq, idempotency }: Parameters<StreamActivities['rollback']>[0]): Promise<HeadChange> => {
        const { head, hash, editIds } = await store.rollback(streamId, seq, idempotency);
        return headChange(head, hash, editIds);
      },
    ),
    createCheckpoint: activity(
      'createCheckpoint',
      ({ streamId, name }: { streamId: string; name: string }): Promise<Checkpoint> =>
        store.createCheckpoint(streamId, name),
    ),
    setPaused: activity('setPaused', ({ streamId, paused }: { streamId: string; paused: boolean }) =>
      store.setStreamStatus(streamId, paused ? 'paused' : 'ready'),
    ),
    evaluate: activity('evaluate', ({ streamId, evaluationId }: EvaluationArgs, signal) =>
      evaluate(dependencies, streamId, evaluationId, signal),
    ),
    failEvaluation: activity(
      'failEvaluation',
      async ({ streamId, evaluationId, detail }: EvaluationArgs & { detail: string }) => {
        const evaluation = await store.getEvaluation(streamId, evaluationId);
        await store.saveEvaluation({ ...evaluation, status: 'failed', detail });
      },
    ),
  };
}

interface BatchArgs {
  readonly streamId: string;
  readonly seq: number;
}

interface LayerArgs extends BatchArgs {
  readonly layer: number;
}

interface EvaluationArgs {
  readonly streamId: string;
  readonly evaluationId: string;
}

function planOf(stream: Stream, batch: ClaimedBatch): BatchPlan {
  return {
    seq: batch.seq,
    kind: batch.kind,
    edits: batch.edits.length,
    layers: stream.config.layers,
    supersedes: batch.supersedes?.seq ?? null,
    revocationId: batch.revocationId,
  };
}
