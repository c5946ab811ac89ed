import { join } from 'node:path';
import { type Edit, ErrataError, type Export, type Publication } from '@errata/contracts';
import { removeUpload, uploadFolder } from '@errata/objects';
import type { StateRef } from '@errata/rpc';
import type { ExportActivities, PublicationPlan } from '@errata/workflows';
import { type LoraServer, loraServer } from '../publishing/lora-server.js';
import { targetOf } from '../publishing/target.js';
import { type Dependencies, runtimeTimeoutMs } from './context.js';
import { answerLength, continuation, generateBySize, says, shown } from './probes.js';

type Args<Name extends keyof ExportActivities> = Parameters<ExportActivities[Name]>[0];
type Parts = Pick<Dependencies, 'store' | 'runtime' | 'publishing' | 'logger'>;

/** Edits named in a report of what a server got wrong. */
const namedEdits = 10;

export async function beginPublication(
  { store, publishing }: Parts,
  { publicationId }: Args<'beginPublication'>,
): Promise<PublicationPlan> {
  const { target, alias, exportId } = await store.getPublication(publicationId);
  targetOf(publishing, target);
  const found = await store.getAlias(target, alias);
  return { exportId, version: found?.version ?? 0, previous: found?.loraName ?? null };
}

export async function loadAdapter(
  parts: Parts,
  { publicationId }: Args<'loadAdapter'>,
  signal: AbortSignal,
): Promise<void> {
  const { store } = parts;
  const publication = await store.getPublication(publicationId);
  const exported = await store.getExport(publication.exportId);
  const { manifest } = exported;
  await store.recordStep(publicationId, 'export', {
    exportId: publication.exportId,
    relativeError: manifest?.relativeError ?? 0,
    rank: Math.max(0, ...(manifest?.layers.map(({ rank }) => rank) ?? [])),
  });
  const path = await placed(parts, publication, exported, signal);
  await serverOf(parts, publication, signal).load(publication.loraName, path);
  await store.recordStep(publicationId, 'load', { loraName: publication.loraName });
}

/** Brings an export where the server finds it. @returns its path there @throws PUBLISH_REFUSED, as the upload does */
async function placed(
  { store, publishing }: Parts,
  { id, target: name }: Publication,
  { destination, manifest }: Export,
  signal: AbortSignal,
): Promise<string> {
  const target = targetOf(publishing, name);
  const { exportDir } = publishing;
  const objects = publishing.objects?.get(name);
  if (objects === undefined) {
    const root = target.exportDir ?? exportDir;
    if (root !== undefined) return join(root, destination);
    throw new ErrataError(
      'PUBLISH_REFUSED',
      `where ${name} finds exports is not known: set EXPORT_DIR, or exportDir in PUBLISH_TARGETS`,
    );
  }
  if (exportDir === undefined || manifest === null)
    throw new ErrataError(
      'PUBLISH_REFUSED',
      `exports for ${name} go to ${objects.address}: set EXPORT_DIR, where the orchestrator reads them`,
    );
  const below = `${destination}/`;
  const folder = join(exportDir, destination);
  try {
    await uploadFolder({ folder, objects, below, manifest, signal });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new ErrataError(
      'PUBLISH_REFUSED',
      `the orchestrator does not see ${folder}: it has to share the disk of exports with the model runtime`,
      { cause: error },
    );
  }
  const address = `${objects.address}${destination}`;
  await store.recordStep(id, 'upload', { address });
  return target.exportDir === undefined ? address : join(target.exportDir, destination);
}

/**
 * Asks the server and the stream itself a sample of the edits, spread evenly over the history, with the same tokens. The
 * server may be right less often by the tolerance.
 */
export async function verifyAdapter(
  parts: Parts,
  { publicationId }: Args<'verifyAdapter'>,
  signal: AbortSignal,
): Promise<void> {
  const { store, runtime } = parts;
  const publication = await store.getPublication(publicationId);
  const { streamId, seq, samples, tolerance, loraName, target } = publication;
  const edits = spread(
    (await store.activeEdits(streamId, seq)).filter((edit) => edit.adapter === null),
    samples,
  );
  if (edits.length > 0) {
    const limits = { timeoutMs: runtimeTimeoutMs, signal };
    const texts = edits.flatMap((edit) => [shown(edit), continuation(edit.target)]);
    const ids = (await runtime.tokenize({ texts }, limits)).texts.map((text) => text.ids);
    const items = edits.map((edit, i) => ({ prompt: shown(edit), tokens: answerLength(ids[2 * i + 1].length) }));
    const state: StateRef = { streamId, seq, staged: [] };
    const own = await generateBySize(runtime, state, items, limits);
    const server = serverOf(parts, publication, signal);
    const answers: string[] = [];
    for (const [i, { tokens }] of items.entries()) answers.push(await server.complete(loraName, ids[2 * i], tokens));
    const right = (texts: readonly string[]) => edits.filter((edit, i) => says(texts[i], edit.target)).length;
    const [streamRight, serverRight] = [right(own), right(answers)];
    const missed = edits.filter((edit, i) => says(own[i], edit.target) && !says(answers[i], edit.target));
    if (serverRight < streamRight - tolerance * edits.length)
      throw new ErrataError(
        'PUBLISH_UNVERIFIED',
        `${target} answers ${serverRight} of ${edits.length} edits as ${loraName}, the stream ${streamRight}: ${missed
          .slice(0, namedEdits)
          .map((edit) => edit.id)
          .join(', ')}`,
      );
    await store.recordStep(publicationId, 'verify', { samples: edits.length, streamRight, serverRight });
    return;
  }
  await store.recordStep(publicationId, 'verify', { samples: 0, streamRight: 0, serverRight: 0 });
}

export async function moveAlias(
  { store, logger }: Parts,
  { publicationId, version }: Args<'moveAlias'>,
): Promise<void> {
  const { target, alias } = await store.getPublication(publicationId);
  const moved = await store.swapAlias(target, alias, publicationId, version);
  await store.recordStep(publicationId, 'alias', { loraName: moved.loraName, version: moved.version });
  logger.info({ target, alias, loraName: moved.loraName, version: moved.version }, 'an alias has moved');
}

export async function unloadPrevious(
  parts: Parts,
  { publicationId, loraName }: Args<'unloadPrevious'>,
  signal: AbortSignal,
): Promise<void> {
  const publication = await parts.store.getPublication(publicationId);
  if (loraName === publication.loraName) return;
  await serverOf(parts, publication, signal).unload(loraName);
  await parts.store.recordStep(publicationId, 'unload', { loraName });
}

export async function fallBack(
  parts: Parts,
  { publicationId, detail }: Args<'fallBack'>,
  signal: AbortSignal,
): Promise<void> {
  const { store, publishing } = parts;
  const publication = await store.getPublication(publicationId);
  const { target, alias, loraName, steps } = publication;
  const known = publishing.targets.some(({ name }) => name === target);
  const reached = steps.some(({ step }) => step === 'export');
  if (known && reached) {
    await serverOf(parts, publication, signal).unload(loraName);
    const { destination, manifest } = await store.getExport(publication.exportId);
    const objects = publishing.objects?.get(target);
    if (objects && manifest) await removeUpload(objects, `${destination}/`, manifest, signal);
  }
  const serving = (await store.getAlias(target, alias))?.loraName ?? null;
  await store.recordStep(publicationId, 'fallback', { detail, serving });
}

function serverOf({ publishing }: Parts, { target }: Publication, signal: AbortSignal): LoraServer {
  return loraServer(targetOf(publishing, target), signal);
}

/** So many of the edits, evenly over their order. */
function spread(edits: readonly Edit[], count: number): Edit[] {
  if (edits.length <= count) return [...edits];
  return Array.from({ length: count }, (_, i) => edits[Math.floor((i * edits.length) / count)]);
}
