import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fstatSync, mkdirSync, openSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ErrataError } from '@errata/contracts';
import { defaultRestartPolicy, type RestartPolicy, restartDelay } from './backoff.js';
import type { OnStackEvent } from './events.js';
import { lastLines, readFrom } from './tail.js';

const readyPollMs = 50;
const endingSignals: ReadonlySet<NodeJS.Signals> = new Set(['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP']);

/** How one process of a stack is run. */
export interface ProcessSpec {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly logFile: string;
  readonly user?: { readonly uid: number; readonly gid: number };
  /** Asks the process to end. */
  readonly stopSignal: NodeJS.Signals;
  /** How long it may take to end before it is killed. */
  readonly stopTimeoutMs: number;
  readonly readyTimeoutMs: number;
  /** Whether the process serves; gets what it logged since it began. */
  readonly isReady: (log: string) => boolean | Promise<boolean>;
  /** Work before each start, such as clearing what a crash left behind. */
  readonly prepare?: () => Promise<void>;
  readonly restart?: RestartPolicy;
}

export type ProcessState = 'starting' | 'ready' | 'waiting' | 'failed' | 'stopped';

/** A process that is started again when it ends by itself. */
export interface Supervised {
  readonly name: string;
  pid(): number | undefined;
  state(): ProcessState;
  /** @throws ErrataError `NOT_READY` with the last log lines when the process ends or does not become ready */
  start(): Promise<void>;
  /** Sends a signal as an outsider would: the supervisor treats what follows as a crash. */
  kill(signal: NodeJS.Signals): void;
  /** Waits until the process is ready again after a crash, also one that `kill` has only just caused. */
  ready(timeoutMs?: number): Promise<void>;
  /** Ends the process and does not start it again. @param signal what asks it to; its own stop signal when left out */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/**
 * Supervises one process. Output goes straight to its log file, so that it survives the supervisor.
 * @param onChange called whenever the process id changes
 */
export function supervise(spec: ProcessSpec, onEvent: OnStackEvent, onChange: () => void): Supervised {
  const policy = spec.restart ?? defaultRestartPolicy;
  const crashes: number[] = [];
  let child: ChildProcess | undefined;
  /** Was told to end from outside, which it may not have done yet. */
  let struck: ChildProcess | undefined;
  let exited: Promise<string> = Promise.resolve('');
  let state: ProcessState = 'stopped';
  let logStart = 0;
  let wanted = false;
  let lastExit = '';
  let reviving: Promise<void> = Promise.resolve();
  let waiting = new AbortController();

  const log = () => readFrom(spec.logFile, logStart);

  const launch = async () => {
    await spec.prepare?.();
    if (!wanted) throw notReady('was stopped');
    mkdirSync(path.dirname(spec.logFile), { recursive: true });
    const output = openSync(spec.logFile, 'a');
    logStart = fstatSync(output).size;
    try {
      const started = spawn(spec.command, [...spec.args], {
        cwd: spec.cwd,
        env: { ...spec.env },
        stdio: ['ignore', output, output],
        detached: true,
        ...spec.user,
      });
      child = started;
      exited = new Promise((resolve) => {
        started.once('error', (error) => resolve(error.message));
        started.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
      });
    } finally {
      closeSync(output);
    }
    void exited.then((exit) => {
      child = undefined;
      lastExit = exit;
      onChange();
    });
    onChange();
  };

  const notReady = (what: string) =>
    new ErrataError('NOT_READY', [`${spec.name} ${what}; its log is ${spec.logFile}`, ...lastLines(log())].join('\n'));

  const startOnce = async () => {
    const begun = performance.now();
    state = 'starting';
    onEvent({ kind: 'starting', name: spec.name });
    await launch();
    const mine = child;
    const deadline = begun + spec.readyTimeoutMs;
    while (!(await spec.isReady(log()))) {
      if (child === undefined || child !== mine) throw notReady(`ended before it was ready (${lastExit})`);
      if (performance.now() > deadline) {
        signalGroup('SIGKILL');
        await exited;
        throw notReady(`was not ready after ${spec.readyTimeoutMs / 1000} s`);
      }
      await sleep(readyPollMs);
    }
    if (mine?.pid === undefined || child !== mine) throw notReady(`ended before it was ready (${lastExit})`);
    state = 'ready';
    onEvent({ kind: 'ready', name: spec.name, seconds: (performance.now() - begun) / 1000, pid: mine.pid });
    void exited.then(() => {
      reviving = revive();
    });
  };

  const revive = async () => {
    while (wanted) {
      const now = Date.now();
      crashes.push(now);
      const delay = restartDelay(crashes, now, policy);
      if (delay === undefined) {
        state = 'failed';
        onEvent({ kind: 'failed', name: spec.name, exit: lastExit, lastLines: lastLines(log()) });
        return;
      }
      state = 'waiting';
      onEvent({ kind: 'crashed', name: spec.name, exit: lastExit, retryInMs: delay, lastLines: lastLines(log()) });
      await sleep(delay, undefined, { signal: waiting.signal }).catch(() => undefined);
      if (!wanted) return;
      try {
        await startOnce();
        return;
      } catch (error) {
        lastExit = error instanceof Error ? error.message.split('\n')[0] : String(error);
      }
    }
  };

  const signalGroup = (signal: NodeJS.Signals) => {
    if (child?.pid === undefined) return;
    try {
      process.kill(-child.pid, signal);
    } catch {
      child.kill(signal);
    }
  };

  return {
    name: spec.name,
    pid: () => child?.pid,
    state: () => state,
    async start() {
      wanted = true;
      waiting = new AbortController();
      try {
        await startOnce();
      } catch (error) {
        wanted = false;
        state = 'failed';
        throw error;
      }
    },
    kill(signal) {
      if (endingSignals.has(signal)) struck = child;
      child?.kill(signal);
    },
    async ready(timeoutMs = spec.readyTimeoutMs) {
      const deadline = performance.now() + timeoutMs;
      while (state !== 'ready' || child === undefined || child === struck) {
        if (state === 'failed') throw notReady(`has failed (${lastExit})`);
        if (performance.now() > deadline) throw notReady(`was not ready again after ${timeoutMs / 1000} s`);
        await sleep(readyPollMs);
      }
    },
    async stop(signal = spec.stopSignal) {
      wanted = false;
      waiting.abort();
      if (child !== undefined) {
        const ended = exited;
        child.kill(signal);
        const patience = new AbortController();
        const timeout = sleep(spec.stopTimeoutMs, 'timeout', { signal: patience.signal }).catch(() => 'ended');
        if ((await Promise.race([ended, timeout])) === 'timeout') signalGroup('SIGKILL');
        await ended;
        patience.abort();
      }
      await reviving;
      state = 'stopped';
      onEvent({ kind: 'stopped', name: spec.name });
    },
  };
}
