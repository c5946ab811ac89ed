import { setImmediate } from 'node:timers/promises';
import {
  dtypesOfFormat,
  ErrataError,
  type ExportDtype,
  type ExportFormat,
  type ExportManifest,
  exportFormats,
  exportLimits,
  exportNameSchema,
} from '@errata/contracts';
import { ExportFolder, type ExportOptions, exportModel, joinFactors, type LayerFactors } from '@errata/export';
import { architectureOf, type Model, openModelFiles, type Pause } from '@errata/model';
import {
  type DiscardExportRequest,
  type ExportRequest,
  type ExportResponse,
  type ModelRuntimeServiceServer,
  serverStream,
  unary,
} from '@errata/rpc';
import type { Store } from '@errata/store';
import { eventChannel } from './event-channel.js';

/** Longest stretch of work after which other requests of the process have their turn, in milliseconds. */
const turnMs = 20;
/** Pause between two reports of progress, in milliseconds. */
const reportMs = 200;

export interface ExportParts {
  /** Of the model's files, which are read again. */
  readonly path: string;
  /** EXPORT_DIR */
  readonly root: string | undefined;
  readonly store: Pick<Store, 'getStream' | 'hashAt' | 'lineage' | 'readEntries'>;
}

interface Parts {
  readonly model: Model;
  readonly name: string;
  readonly exports?: ExportParts;
}

/** The methods of errata.v1.ModelRuntimeService that write edited models. They need no engine and run beside its work. */
export function exportMethods(parts: Parts): Pick<ModelRuntimeServiceServer, 'export' | 'discardExport'> {
  /** Runs by their folder: a second call for the same waits for the end of the first. */
  const running = new Map<string, Promise<unknown>>();

  async function alone<T>(key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    for (let other = running.get(key); other; other = running.get(key)) {
      await other.catch(() => undefined);
      signal.throwIfAborted();
    }
    const own = work();
    running.set(key, own);
    try {
      return await own;
    } finally {
      running.delete(key);
    }
  }

  return {
    export: serverStream((request, { signal }) =>
      eventChannel<ExportResponse>(async (emit) => {
        const exports = configured(parts);
        const folder = folderOf(exports, request);
        const options = optionsOf(request);
        const manifest = await alone(folder.path, signal, () =>
          write({ ...parts, exports }, request, options, folder, pauseUntil(signal), emit),
        );
        emit({ event: { $case: 'manifestJson', manifestJson: JSON.stringify(manifest) } });
      }),
    ),

    discardExport: unary(async (request, { signal }) => {
      const folder = folderOf(configured(parts), request);
      await alone(folder.path, signal, () => (request.published ? folder.remove() : folder.discard()));
      return {};
    }),
  };
}

async function write(
  { model, name, exports: { path, store } }: Parts & { readonly exports: ExportParts },
  request: ExportRequest,
  options: ExportOptions,
  folder: ExportFolder,
  pause: Pause,
  emit: (response: ExportResponse) => void,
): Promise<ExportManifest> {
  const { streamId, seq, logHash } = request;
  const stream = await store.getStream(streamId);
  if (stream.modelId !== model.id)
    throw new ErrataError(
      'INVALID_REQUEST',
      `stream ${streamId} is on model ${stream.modelId}, this runtime serves ${model.id}`,
    );
  const found = await store.hashAt(streamId, seq);
  if (found !== logHash)
    throw new ErrataError('LOG_CONFLICT', `the log of ${streamId} has the hash ${found} at ${seq}, not ${logHash}`);
  const { hiddenSize, intermediateSize, architecture } = model.config;
  const seqs = seq === 0 ? [] : (await store.lineage(streamId, seq)).seqs;
  const layers: LayerFactors[] = [];
  for (const layer of stream.config.layers) {
    const entries = seqs.length === 0 ? [] : await store.readEntries(streamId, layer, seqs);
    layers.push(joinFactors(layer, intermediateSize, hiddenSize, entries));
    await pause();
  }
  const files = await openModelFiles(path);
  const source = { files, architecture: architectureOf(files), modelName: name, layers, pause };
  const identity = {
    model: { id: model.id, name, architecture },
    stream: { id: stream.id, name: stream.name },
    seq,
    logHash,
    configHash: stream.configHash,
  };
  let reported = 0;
  return exportModel(source, identity, options, folder, (progress) => {
    if (performance.now() - reported < reportMs) return;
    reported = performance.now();
    emit({ event: { $case: 'progress', progress } });
  });
}

/** @throws EXPORT_UNSUPPORTED no EXPORT_DIR */
function configured({ exports }: Parts): ExportParts & { readonly root: string } {
  if (exports?.root !== undefined) return { ...exports, root: exports.root };
  throw new ErrataError(
    'EXPORT_UNSUPPORTED',
    'this model runtime has no folder for exports: set EXPORT_DIR for it and for the gateway',
  );
}

/** @throws INVALID_REQUEST a name that is a path */
function folderOf({ root }: { readonly root: string }, request: ExportRequest | DiscardExportRequest): ExportFolder {
  for (const [what, name] of [
    ['destination', request.destination],
    ['export_id', request.exportId],
  ])
    if (!exportNameSchema.safeParse(name).success)
      throw new ErrataError('INVALID_REQUEST', `${what} ${JSON.stringify(name.slice(0, 100))} is no name of a folder`);
  return new ExportFolder(root, request.destination, request.exportId);
}

function optionsOf({ format, dtype, maxRank }: ExportRequest): ExportOptions {
  const known = exportFormats.find((each) => each === format) as ExportFormat | undefined;
  const stored = known && dtypesOfFormat[known].find((each) => each === dtype);
  if (!known || !stored)
    throw new ErrataError('INVALID_REQUEST', `a model cannot be exported as ${format} in ${dtype}`);
  if (known === 'peft' && (maxRank < 1 || maxRank > exportLimits.maxRank))
    throw new ErrataError('INVALID_REQUEST', `max_rank is ${maxRank}, not within 1 … ${exportLimits.maxRank}`);
  return { format: known, dtype: stored satisfies ExportDtype, maxRank };
}

function pauseUntil(signal: AbortSignal): Pause {
  let last = performance.now();
  return async () => {
    signal.throwIfAborted();
    if (performance.now() - last < turnMs) return;
    await setImmediate();
    last = performance.now();
  };
}
