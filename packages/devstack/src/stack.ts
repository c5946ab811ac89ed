import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ErrataError } from '@errata/contracts';
import { migrate } from '@errata/store';
import { endLedger } from '../bootstrap/lib/ledger.mjs';
import { lockHolder, tryLock } from '../bootstrap/lib/lock.mjs';
import { Fleet } from './fleet.js';
import { startGuard } from './guard.js';
import { resolveOptions, type StackOptions } from './options.js';
import { planStack } from './plan.js';
import type { StackAddresses } from './services.js';
import type { ProcessState } from './supervised.js';

const apiTimeoutMs = 60_000;
const externalTimeoutMs = 30_000;
/** Exit codes of a start that a signal interrupts. A stack that was up ends with 0: stopping it is no failure. */
const signalCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** A running stack. */
export interface Stack {
  /** Base address of the HTTP API, without a slash at its end. */
  readonly api: string;
  /** The documentation page of the API. */
  readonly docs: string;
  /** Pages that Prometheus scrapes, by process name. */
  readonly metrics: Readonly<Record<string, string>>;
  readonly databaseUrl: string;
  readonly temporalAddress: string;
  readonly modelRuntimes: readonly string[];
  readonly shardWorkers: readonly string[];
  readonly dataDir: string;
  readonly logDir: string;
  processes(): { readonly name: string; readonly pid: number | undefined; readonly state: ProcessState }[];
  /** Sends a signal to one process as an outsider would; the supervisor starts it again. */
  kill(name: string, signal: NodeJS.Signals): void;
  /** Waits until a process serves again after a crash. */
  ready(name: string, timeoutMs?: number): Promise<void>;
  /** Kills one process (SIGKILL) and leaves it down until `bringBack`. */
  takeDown(name: string): Promise<void>;
  /** Starts a process again, at the same address, that was taken down. */
  bringBack(name: string): Promise<void>;
  /** Stops one process cleanly and starts it again at the same address. */
  restart(name: string): Promise<void>;
  /** Stops everything, last started first. Calling it again waits for the same stop. */
  stop(): Promise<void>;
}

/** Waits until the gateway reaches every part behind it. */
async function waitForApi(api: string): Promise<void> {
  const deadline = performance.now() + apiTimeoutMs;
  let last = '';
  while (performance.now() < deadline) {
    try {
      const response = await fetch(`${api}/readyz`, { signal: AbortSignal.timeout(5000) });
      if (response.ok) return;
      last = `${response.status} ${await response.text()}`;
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
    await sleep(100);
  }
  throw new ErrataError('NOT_READY', `${api}/readyz was not ready after ${apiTimeoutMs / 1000} s: ${last}`);
}

/** Applies the migrations; a database given from outside may still be starting. */
async function migrateWhenUp(databaseUrl: string, external: boolean): Promise<void> {
  const deadline = performance.now() + (external ? externalTimeoutMs : 0);
  for (;;) {
    try {
      await migrate(databaseUrl);
      return;
    } catch (error) {
      const refused = /ECONNREFUSED|ENOTFOUND|starting up/.test(String(error));
      if (!refused || performance.now() > deadline) throw error;
      await sleep(500);
    }
  }
}

function describe(addresses: StackAddresses) {
  const api = `http://${addresses.gateway}`;
  const pages = Object.entries(addresses.metrics).map(([name, address]) => [name, `http://${address}/metrics`]);
  return {
    api,
    docs: `${api}/docs`,
    metrics: { gateway: `${api}/metrics`, ...Object.fromEntries(pages) },
    databaseUrl: addresses.databaseUrl,
    temporalAddress: addresses.temporal,
    modelRuntimes: addresses.modelRuntimes,
    shardWorkers: addresses.shardWorkers,
  };
}

/**
 * Starts everything that the options and the environment do not replace by running servers: Postgres, Temporal, the
 * model runtime, the shard workers, the orchestrator and the gateway, each its own process on a free loopback port and
 * started again when it crashes. No process outlives this one.
 * @throws ErrataError `NOT_READY` when a part cannot be started (everything started so far is stopped), or when a stack
 *   already runs on the data directory
 */
export async function startStack(given: StackOptions = {}): Promise<Stack> {
  const options = resolveOptions(given);
  const { dataDir, onEvent } = options;
  const runDir = path.join(dataDir, 'run');
  const ledgerFile = path.join(runDir, 'processes.json');
  const lockFile = path.join(runDir, 'lock');
  mkdirSync(runDir, { recursive: true, mode: 0o755 });
  const unlock = tryLock(lockFile);
  if (unlock === undefined)
    throw new ErrataError(
      'NOT_READY',
      `a stack already runs on ${dataDir} (process ${lockHolder(lockFile)}): stop it, or set ERRATA_DATA to another folder`,
    );

  const fleet = new Fleet(ledgerFile, onEvent);
  let releaseGuard = () => {};
  let isUp = false;
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= (async () => {
      await fleet.stop();
      removeSignalHandlers();
      releaseGuard();
      unlock();
    })();
    return stopped;
  };
  const handlers = Object.entries(signalCodes).map(([signal, code]) => {
    const handler = () => void stop().finally(() => process.exit(isUp ? 0 : code));
    return { signal, handler };
  });
  const removeSignalHandlers = () => {
    for (const { signal, handler } of handlers) process.off(signal, handler);
  };
  if (options.signals) for (const { signal, handler } of handlers) process.on(signal, handler);

  try {
    const left = await endLedger(ledgerFile);
    if (left.length > 0)
      onEvent({ kind: 'note', message: `ended what an earlier stack left running: ${left.join(', ')}` });
    const plan = await planStack(options, onEvent);
    const { addresses } = plan;
    releaseGuard = startGuard(ledgerFile);
    await fleet.start(plan.servers);
    await migrateWhenUp(addresses.databaseUrl, options.databaseUrl !== undefined);
    await fleet.start(plan.compute);
    await fleet.start(plan.front);
    const facts = describe(addresses);
    await waitForApi(facts.api);
    isUp = true;
    return {
      ...facts,
      dataDir,
      logDir: options.logDir,
      processes: () => fleet.all().map((one) => ({ name: one.name, pid: one.pid(), state: one.state() })),
      kill: (name, signal) => fleet.get(name).kill(signal),
      ready: (name, timeoutMs) => fleet.get(name).ready(timeoutMs),
      takeDown: (name) => fleet.get(name).stop('SIGKILL'),
      bringBack: (name) => fleet.get(name).start(),
      async restart(name) {
        await fleet.get(name).stop();
        await fleet.get(name).start();
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
