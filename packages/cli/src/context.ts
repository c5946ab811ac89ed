import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { ErrataClient } from '@errata/client';
import { ErrataError, type Stream } from '@errata/contracts';
import type { Command } from 'commander';
import { UsageError } from './failure.js';
import type { Output } from './start/output.js';

/** What every command works with; the options that all commands share are already read. */
export interface CliContext {
  readonly json: boolean;
  /** The client of the API that the options, the environment or the running stack name. */
  client(): Promise<ErrataClient>;
  /** What people read: on stdout, or on stderr when stdout is kept for JSON. */
  readonly output: Output;
  /** The result: as JSON on one line with --json, else as the text. */
  result(value: unknown, text: () => string): void;
  /** A part of a result that is read as it comes. */
  write(text: string): void;
  readonly signal: AbortSignal;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Makes the context of the command that runs. */
export type ContextOf = (command: Command) => CliContext;

/**
 * The stream that --stream or ERRATA_STREAM names, else the only one there is.
 * @throws UNKNOWN_STREAM saying which streams there are
 */
export async function findStream(
  context: Pick<CliContext, 'env' | 'signal'>,
  client: ErrataClient,
  named: string | undefined,
): Promise<Stream> {
  const name = named ?? context.env.ERRATA_STREAM;
  if (name) return client.getStream(name, context);
  const streams = await client.listStreams(context);
  if (streams.length === 1) return streams[0];
  if (streams.length === 0)
    throw new ErrataError('UNKNOWN_STREAM', 'There is no stream yet: create one with "errata streams create"');
  throw new ErrataError(
    'UNKNOWN_STREAM',
    `There are ${streams.length} streams: name one with --stream (${streams
      .slice(0, 8)
      .map((stream) => stream.name)
      .join(', ')}${streams.length > 8 ? ', …' : ''})`,
  );
}

/** A path as the person means it: npm runs scripts in the root of the project, INIT_CWD is where it was called. */
export function fromHere(env: CliContext['env'], path: string): string {
  return resolve(env.INIT_CWD ?? '.', path);
}

/** The text of a file that the command line names. @throws UsageError */
export function readGiven(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: unknown) => {
    throw new UsageError(`${path} cannot be read`, { cause });
  });
}

export const streamOption = ['-s, --stream <stream>', 'id or name of the stream (default: the only one)'] as const;
