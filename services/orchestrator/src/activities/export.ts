import { ErrataError, exportManifestSchema } from '@errata/contracts';
import type { ExportActivities } from '@errata/workflows';
import { type Dependencies, longTimeoutMs, runtimeTimeoutMs } from './context.js';

type Args<Name extends keyof ExportActivities> = Parameters<ExportActivities[Name]>[0];

/** Has the model runtime write an export; what an earlier attempt finished is kept. */
export async function runExport(
  { store, runtime, logger }: Pick<Dependencies, 'store' | 'runtime' | 'logger'>,
  { exportId }: Args<'runExport'>,
  signal: AbortSignal,
): Promise<void> {
  const { status, streamId, seq, logHash, format, dtype, maxRank, destination } = await store.getExport(exportId);
  if (status === 'done') return;
  if (status !== 'queued' && status !== 'running')
    throw new ErrataError('CANCELLED', `export ${exportId} is ${status}: start another`);
  await store.updateExport(exportId, { status: 'running' });
  const request = { exportId, streamId, seq, logHash, format, dtype, maxRank, destination };
  let written: string | null = null;
  for await (const { event } of runtime.export(request, { timeoutMs: longTimeoutMs, signal })) {
    if (event?.$case === 'progress') await store.updateExport(exportId, event.progress);
    if (event?.$case === 'manifestJson') written = event.manifestJson;
  }
  if (written === null) throw new ErrataError('NOT_READY', `the model runtime ended export ${exportId} early`);
  const manifest = exportManifestSchema.parse(JSON.parse(written));
  const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  await store.updateExport(exportId, { status: 'done', manifest, bytesDone: bytes, bytesTotal: bytes });
  logger.info({ exportId, streamId, seq, format, bytes }, 'an export is written');
}

/** Removes what an export wrote and says why it ended. */
export async function endExport(
  { store, runtime }: Pick<Dependencies, 'store' | 'runtime'>,
  { exportId, status, detail }: Args<'endExport'>,
  signal: AbortSignal,
): Promise<void> {
  const { destination, status: known } = await store.getExport(exportId);
  if (known === 'done') return;
  try {
    await runtime.discardExport({ exportId, destination, published: false }, { timeoutMs: runtimeTimeoutMs, signal });
  } catch (error) {
    // Where exports are not set up there is nothing to remove.
    if (!(error instanceof ErrataError) || error.retryable) throw error;
  }
  await store.updateExport(exportId, { status, detail });
}
