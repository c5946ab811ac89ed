import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ErrataClient } from '@errata/client';
import {
  ErrataError,
  type Export,
  type ExportManifest,
  exportDtypes,
  exportFormats,
  exportLimits,
} from '@errata/contracts';
import { connectS3, readS3Settings, type S3Objects, s3Address, uploadFolder } from '@errata/objects';
import { type Command, Option } from 'commander';
import { type CliContext, type ContextOf, findStream, fromHere, streamOption } from '../context.js';
import { downloadFolder } from '../download-folder.js';
import { UsageError } from '../failure.js';
import { bar } from '../start/output.js';
import { textTable } from '../tables.js';
import { positionOf } from './position.js';

interface ExportCommandOptions {
  readonly stream?: string;
  readonly format: (typeof exportFormats)[number];
  readonly out?: string;
  readonly to?: string;
  readonly at?: string;
  readonly dtype?: (typeof exportDtypes)[number];
  readonly maxRank: number;
  readonly destination?: string;
}

/** `errata export`, `errata exports`, `errata exports remove`. */
export function addExport(program: Command, contextOf: ContextOf): void {
  program
    .command('export')
    .description('write the edited model as files: an adapter, a whole model, or the base GGUF file with edits')
    .option(...streamOption)
    .addOption(new Option('-f, --format <format>', 'what to write').choices(exportFormats).default('peft'))
    .option('-o, --out <folder>', 'folder to download to; it must not be there yet')
    .option('--to <address>', 'object storage to upload to, s3://bucket/prefix (EXPORT_S3_…, or the AWS variables)')
    .option('--at <position>', 'position of the log, checkpoint or time (default: the head)')
    .addOption(new Option('--dtype <type>', 'number format (default: fp32)').choices(exportDtypes))
    .option('--max-rank <count>', 'peft: columns a layer may keep', Number, exportLimits.defaultMaxRank)
    .option('--destination <name>', 'keep it below EXPORT_DIR under this name, for servers that share the disk')
    .addHelpText(
      'after',
      '\nExamples:\n  errata export --out facts-adapter\n  errata export --format safetensors --dtype bf16 --at monday --out model\n  errata export --to s3://adapters/facts/monday --at monday',
    )
    .action(async (options: ExportCommandOptions, command: Command) => {
      const context = contextOf(command);
      if (options.out === undefined && options.to === undefined && options.destination === undefined)
        throw new UsageError(
          'name a folder to download to (--out), object storage (--to s3://…), or a folder to keep below EXPORT_DIR (--destination)',
        );
      const objects = options.to === undefined ? null : objectsAt(context, options.to);
      const client = await context.client();
      const stream = await findStream(context, client, options.stream);
      const out = options.out === undefined ? undefined : fromHere(context.env, options.out);
      const { format, dtype, maxRank, destination } = options;
      const request = { format, maxRank, ...(dtype && { dtype }), ...(destination && { destination }) };
      const started = await client.createExport(stream.id, { ...request, ...at(options.at) }, context);
      const done = await follow(context, client, started);
      if (out !== undefined) await download(context, client, done, out);
      if (objects !== null) await upload(context, client, done, objects);
      if (destination === undefined) await client.deleteExport(stream.id, done.id, context);
      const folder = options.out ?? objects?.address ?? `${done.destination} below EXPORT_DIR`;
      context.result({ export: done, folder: out ?? null, objects: objects?.address ?? null }, () =>
        summary(done.manifest, folder),
      );
    });

  const exports = program
    .command('exports')
    .description('list the exports of a stream; cancel or remove one')
    .option(...streamOption)
    .addHelpText('after', '\nExample:\n  errata exports remove exp_…');
  exports.action(async (options: { stream?: string }, command: Command) => {
    const context = contextOf(command);
    const client = await context.client();
    const stream = await findStream(context, client, options.stream);
    const found = await client.listExports(stream.id, context);
    context.result({ exports: found }, () =>
      textTable(
        ['id', 'format', 'position', 'folder', 'status', 'bytes', 'detail'],
        found.map((each) => [
          each.id,
          `${each.format} ${each.dtype}`,
          each.seq,
          each.destination,
          each.status,
          each.bytesDone,
          each.detail ?? '',
        ]),
      ),
    );
  });
  exports
    .command('remove')
    .description('cancel an export, or remove the files of a finished one')
    .argument('<id>', 'id of the export (exp_…)')
    .option(...streamOption)
    .action(async (id: string, options: { stream?: string }, command: Command) => {
      const context = contextOf(command);
      const client = await context.client();
      const stream = await findStream(
        context,
        client,
        options.stream ?? command.parent?.opts<{ stream?: string }>().stream,
      );
      const removed = await client.deleteExport(stream.id, id, context);
      context.result(
        { export: removed },
        () => `${id} is ${removed.status === 'running' ? 'being cancelled' : 'gone'}.`,
      );
    });
}

/** Waits for an export with its progress; an interrupted command cancels it. */
async function follow(context: CliContext, client: ErrataClient, started: Export): Promise<Export> {
  try {
    const done = await client.waitForExport(started, {
      signal: context.signal,
      onProgress: ({ bytesDone, bytesTotal }) => {
        if (bytesTotal > 0) context.output.live(progress(context, 'writing', bytesDone, bytesTotal));
      },
    });
    context.output.done();
    return done;
  } catch (error) {
    if (context.signal.aborted) await client.deleteExport(started.streamId, started.id).catch(() => undefined);
    throw error;
  }
}

async function download(context: CliContext, client: ErrataClient, { id, streamId, manifest }: Export, out: string) {
  if (!manifest) throw new ErrataError('INTERNAL', `export ${id} is done without a manifest`);
  const total = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  let done = 0;
  const partial = `${out}.partial`;
  try {
    await downloadFolder({
      folder: partial,
      out,
      manifest,
      bytesOf: (file) => client.downloadExportFile(streamId, id, file, context),
      onBytes: (bytes) => {
        done += bytes;
        context.output.live(progress(context, 'downloading', done, total));
      },
    });
    await rename(partial, out);
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
  context.output.done();
}

/** Where an export goes in object storage. @throws UsageError */
function objectsAt({ env }: CliContext, address: string): S3Objects {
  const place = s3Address(address);
  if (place === null) throw new UsageError(`${address} is no address of object storage: it is s3://bucket/prefix`);
  try {
    const settings = readS3Settings(env, 'EXPORT_S3_', place);
    if (settings !== null) return connectS3(settings);
  } catch (cause) {
    throw new UsageError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
  throw new UsageError(`${address} names no bucket`);
}

/** By way of a folder that is gone afterwards: what is uploaded was checked when it was downloaded. */
async function upload(context: CliContext, client: ErrataClient, done: Export, objects: S3Objects) {
  const folder = await mkdtemp(join(tmpdir(), 'errata-export-'));
  try {
    const out = join(folder, 'export');
    await download(context, client, done, out);
    const { manifest } = done;
    if (!manifest) return;
    const total = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
    let sent = 0;
    const onBytes = (bytes: number) => {
      sent += bytes;
      context.output.live(progress(context, 'uploading', sent, total));
    };
    await uploadFolder({ folder: out, objects, manifest, signal: context.signal, onBytes });
    context.output.done();
  } finally {
    objects.close();
    await rm(folder, { recursive: true, force: true });
  }
}

function summary(manifest: ExportManifest | null, folder: string): string {
  if (!manifest) return '';
  const error =
    manifest.relativeError === 0 ? 'exact' : `within ${manifest.relativeError.toExponential(1)} of the exact change`;
  const columns = Math.max(0, ...manifest.layers.map((layer) => layer.columns));
  const rank = Math.max(0, ...manifest.layers.map((layer) => layer.rank));
  return [
    `${folder}: ${manifest.format} in ${manifest.dtype}, position ${manifest.seq}, log ${manifest.logHash.slice(0, 16)}`,
    `layers ${manifest.layers.map((layer) => layer.layer).join(', ')}; ${manifest.format === 'peft' ? `rank ${rank} of ${columns} columns` : `${columns} columns`}, ${error}`,
    textTable(
      ['file', 'bytes', 'sha256'],
      manifest.files.map((file) => [file.name, file.bytes, file.sha256.slice(0, 16)]),
    ),
  ].join('\n');
}

/** A number is a position, a date a time, anything else the name of a checkpoint. */
function at(text: string | undefined): { seq?: number; checkpoint?: string; at?: string } {
  if (text === undefined) return {};
  return /^\d{4}-\d\d-\d\dT/.test(text) ? { at: text } : positionOf(text);
}

/** A bar on a terminal; elsewhere one line every tenth. */
function progress({ output }: CliContext, doing: string, done: number, total: number): string {
  if (output.isTerminal) return `${doing} ${bar(megabytes(done), megabytes(total))} MB`;
  return `${doing}: ${Math.floor((10 * done) / total) * 10} % of ${megabytes(total)} MB`;
}

function megabytes(bytes: number): number {
  return Math.ceil(bytes / 1e6);
}
