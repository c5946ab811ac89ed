import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ErrataError } from '@errata/contracts';
import { processIdentity } from '../bootstrap/lib/identity.mjs';
import { clusterVersion, type PostgresBinaries } from './postgres-binaries.js';
import type { SystemUser } from './postgres-user.js';
import { lastLines } from './tail.js';

export const databaseName = 'errata';
export const databaseUser = 'errata';
const passwordFile = 'errata.password';
const leftoverTimeoutMs = 10_000;

/** The environment of a Postgres program: nothing of the caller's PG* variables, messages in English. */
export function postgresEnvironment(): Record<string, string | undefined> {
  const kept = Object.entries(process.env).filter(([name]) => !/^(PG|LC_|LANG)/.test(name));
  return { ...Object.fromEntries(kept), LC_ALL: 'C' };
}

function runTool(command: string, args: string[], user: SystemUser | undefined, input = ''): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...user, cwd: '/', env: postgresEnvironment(), stdio: 'pipe' });
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr.on('data', (chunk) => {
      output += chunk;
    });
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) return resolve();
      const name = path.basename(command);
      reject(new ErrataError('NOT_READY', [`${name} failed with code ${code}`, ...lastLines(output)].join('\n')));
    });
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

/**
 * Makes the cluster of a data folder unless it is there: complete under its name or not at all. Returns the password of
 * its only user.
 * @throws ErrataError when the folder holds a cluster of another major version
 */
export async function ensureCluster(
  folder: string,
  binaries: PostgresBinaries,
  user: SystemUser | undefined,
): Promise<string> {
  const password = path.join(folder, passwordFile);
  const present = clusterVersion(folder);
  if (present !== undefined && existsSync(password)) return readFileSync(password, 'utf8').trim();
  if (existsSync(folder))
    throw new ErrataError('NOT_READY', `${folder} exists and is not a cluster of this project: move it away`);

  mkdirSync(path.dirname(folder), { recursive: true, mode: 0o755 });
  const temporary = mkdtempSync(`${folder}.part-`);
  try {
    const cluster = path.join(temporary, 'cluster');
    const secret = path.join(temporary, passwordFile);
    writeFileSync(secret, `${randomBytes(24).toString('hex')}\n`, { mode: 0o600 });
    if (user !== undefined) for (const owned of [temporary, secret]) chownSync(owned, user.uid, user.gid);
    await runTool(
      binaries.initdb,
      [
        ...['--pgdata', cluster, '--username', databaseUser, '--pwfile', secret, '--auth', 'scram-sha-256'],
        ...['--encoding', 'UTF8', '--locale', 'C', '--no-instructions'],
      ],
      user,
    );
    await runTool(
      binaries.postgres,
      ['--single', '-D', cluster, 'postgres'],
      user,
      `CREATE DATABASE ${databaseName}\n`,
    );
    renameSync(secret, path.join(cluster, passwordFile));
    chmodSync(cluster, 0o700);
    renameSync(cluster, folder);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  return readFileSync(password, 'utf8').trim();
}

/**
 * Readies a cluster whose server may have been killed: ends a server still running on it, and removes a lock file whose
 * process id belongs to something else by now, which Postgres itself takes for a running server.
 */
export async function clearStaleServer(folder: string): Promise<void> {
  const lock = path.join(folder, 'postmaster.pid');
  let pid: number;
  try {
    pid = Number(readFileSync(lock, 'utf8').split('\n')[0]);
  } catch {
    return;
  }
  const identity = processIdentity(pid);
  if (identity === undefined || !isServerOf(pid, folder)) return rmSync(lock, { force: true });
  process.kill(pid, 'SIGINT');
  const deadline = performance.now() + leftoverTimeoutMs;
  while (processIdentity(pid) === identity) {
    if (performance.now() > deadline) process.kill(pid, 'SIGQUIT');
    await sleep(50);
  }
}

/** Where /proc tells, whether a process is a server on this folder; elsewhere it is taken for one. */
function isServerOf(pid: number, folder: string): boolean {
  if (!existsSync('/proc/self/cmdline')) return true;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(folder);
  } catch {
    return false;
  }
}
