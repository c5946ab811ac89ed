import type { SnapshotArgs, SnapshotTaken } from '@errata/workflows';
import { type Dependencies, longTimeoutMs } from './context.js';

/** Has the model runtime keep the weights of a position, or of the last fold below it. Idempotent. */
export async function takeSnapshot(
  { runtime, logger }: Pick<Dependencies, 'runtime' | 'logger'>,
  { streamId, seq }: SnapshotArgs,
  signal: AbortSignal,
): Promise<SnapshotTaken> {
  const {
    snapshotId: id,
    seq: at,
    bytes,
    created,
  } = await runtime.snapshot({ streamId, seq }, { timeoutMs: longTimeoutMs, signal });
  if (id === '') return null;
  if (created) logger.info({ streamId, seq: at, bytes }, 'kept a snapshot');
  return { id, seq: at, bytes, created };
}
