import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { ErrataError } from '@errata/contracts';
import type { OnStackEvent } from './events.js';

const runFile = promisify(execFile);

/** The user a server process runs as. */
export interface SystemUser {
  readonly uid: number;
  readonly gid: number;
}

async function lookUp(name: string): Promise<SystemUser | undefined> {
  try {
    const [uid, gid] = await Promise.all(['-u', '-g'].map((flag) => runFile('id', [flag, name])));
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    return undefined;
  }
}

/**
 * Postgres refuses to run as root: the `postgres` user in that case, made as a system user when there is none.
 * Undefined when this process is not root and Postgres can run as its user.
 */
export async function postgresUser(onEvent: OnStackEvent): Promise<SystemUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const present = await lookUp('postgres');
  if (present !== undefined) return present;
  onEvent({ kind: 'note', message: 'Postgres does not run as root: adding the system user "postgres"' });
  const attempts: [string, string[]][] = [
    ['useradd', ['--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin', 'postgres']],
    ['adduser', ['-S', '-H', '-D', '-s', '/sbin/nologin', 'postgres']],
  ];
  for (const [command, args] of attempts) {
    await runFile(command, args).catch(() => undefined);
    const made = await lookUp('postgres');
    if (made !== undefined) return made;
  }
  throw new ErrataError(
    'NOT_READY',
    'Postgres does not run as root, and no user "postgres" could be added: add one, run as another user, or set DATABASE_URL',
  );
}
