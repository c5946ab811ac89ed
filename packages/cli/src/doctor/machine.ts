import { execFile } from 'node:child_process';
import { statfs } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { totalmem } from 'node:os';
import { promisify } from 'node:util';
import type { Check } from './check.js';

const run = promisify(execFile);
const leastNode = [20, 19] as const;
/** Model, engine, Temporal and Postgres take about 1 GB; the log grows with the edits. */
const wantedDiskBytes = 3e9;
/** The runtime holds the model in fp32 beside a batch; two shard workers hold d × d matrices. */
const wantedMemoryBytes = 4e9;
const connectTimeoutMs = 3000;

export const checkNode: Check = async () => {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const recent = major > leastNode[0] || (major === leastNode[0] && minor >= leastNode[1]);
  const detail = `${process.version} on ${process.platform} ${process.arch}`;
  return recent
    ? { name: 'node', state: 'ok', detail }
    : { name: 'node', state: 'fail', detail, remedy: `install Node ${leastNode.join('.')} or newer` };
};

/** Whether a program answers to `--version`, with the first line it says. */
export function checkProgram(name: string, program: string, args: readonly string[], remedy: string): Check {
  return async () => {
    try {
      const { stdout } = await run(program, [...args], { timeout: 10_000 });
      return { name, state: 'ok', detail: stdout.split('\n')[0].trim() };
    } catch {
      return { name, state: 'warn', detail: `${program} is not found or does not run`, remedy };
    }
  };
}

export function checkDisk(folder: string): Check {
  return async () => {
    const { bavail, bsize } = await statfs(folder);
    const free = bavail * bsize;
    const detail = `${(free / 1e9).toFixed(1)} GB free at ${folder}`;
    return free >= wantedDiskBytes
      ? { name: 'disk', state: 'ok', detail }
      : { name: 'disk', state: 'warn', detail, remedy: `make room: ${wantedDiskBytes / 1e9} GB are wanted` };
  };
}

export const checkMemory: Check = async () => {
  const detail = `${(totalmem() / 1e9).toFixed(1)} GB`;
  return totalmem() >= wantedMemoryBytes
    ? { name: 'memory', state: 'ok', detail }
    : { name: 'memory', state: 'warn', detail, remedy: `${wantedMemoryBytes / 1e9} GB are wanted` };
};

/** Whether a file that set-up brings is there. */
export function checkTool(name: string, path: string | undefined): Check {
  return async () =>
    path === undefined
      ? { name, state: 'warn', detail: 'not there yet', remedy: 'npm run setup brings it' }
      : { name, state: 'ok', detail: path };
}

/** Whether loopback ports can be listened on, and the usual one of the API is free. */
export function checkPorts(usual: number): Check {
  return async () => {
    await listenOnce(0);
    const taken = await listenOnce(usual).then(
      () => false,
      () => true,
    );
    return { name: 'ports', state: 'ok', detail: `loopback works; ${usual} is ${taken ? 'taken' : 'free'}` };
  };
}

function listenOnce(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => server.close(() => resolve()));
  });
}

/** Whether something listens at host:port. */
export function checkListening(name: string, host: string, port: number, remedy: string): Check {
  return async () => {
    const error = await connectError(host, port);
    return error === null
      ? { name, state: 'ok', detail: `${host}:${port} answers` }
      : { name, state: 'fail', detail: `${host}:${port}: ${error}`, remedy };
  };
}

/** Why a connection fails, or null. */
function connectError(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: connectTimeoutMs });
    const end = (reason: string | null) => {
      socket.destroy();
      resolve(reason);
    };
    socket.once('connect', () => end(null));
    socket.once('timeout', () => end(`no answer within ${connectTimeoutMs} ms`));
    socket.once('error', (error) => end(error.message));
  });
}
