import { ErrataError, toErrataError } from '@errata/contracts';
import type { CallLimits } from './calls.js';
import { isUnreachable } from './errors.js';
import { connectHealth, type HealthClient } from './health-client.js';
import { type Addressed, placeShard } from './placement.js';

/** Time a worker has to answer a health check. */
const checkTimeoutMs = 2000;
/** Checks without an answer after which a worker counts as down: a busy machine may make one late. */
const silentChecks = 5;
/** Good checks in a row after which a worker counts as up again. */
const goodChecks = 2;

export interface FleetOptions<Worker extends Addressed> {
  readonly workers: readonly Worker[];
  /** Pause between two health checks of a worker. */
  readonly intervalMs: number;
  /** Told of every change, and of the beginning, when all count as up. */
  readonly onChange: (address: string, up: boolean, reason: string) => void;
  /** What asks a worker for its health; grpc.health.v1 when left out. */
  readonly connect?: (address: string) => HealthClient;
}

/** Where the shards of a layer are now. */
export interface Placement<Worker extends Addressed> {
  /** Holds shard 0: the one to call. */
  readonly owner: Worker;
  /** Addresses of the shards after it, in order. */
  readonly peers: readonly string[];
  /** Whether a worker holds a shard in place of one that is down. */
  readonly standsIn: boolean;
}

/** Which workers live, and so which holds what. */
export interface Fleet<Worker extends Addressed> {
  /** @throws ErrataError NOT_READY when no worker is up */
  place(streamId: string, layerIndex: number, rowShards?: number): Placement<Worker>;
  /** Runs a call on a placement. One that fails for want of a worker is looked into before the error goes on. */
  watch<Result>(placement: Placement<Worker>, call: (placement: Placement<Worker>) => Promise<Result>): Promise<Result>;
  isUp(address: string): boolean;
  close(): void;
}

interface Member {
  readonly health: HealthClient;
  up: boolean;
  good: number;
  silent: number;
  checking: Promise<void> | null;
}

/**
 * Watches shard workers: a worker that cannot be reached is down at once, one that stays silent after five checks; it is
 * up again after two good checks in a row.
 */
export function watchFleet<Worker extends Addressed>(options: FleetOptions<Worker>): Fleet<Worker> {
  const { workers, intervalMs, onChange } = options;
  const connect = options.connect ?? ((address) => connectHealth(address, 'shard-worker'));
  const closing = new AbortController();
  const limits: CallLimits = { timeoutMs: checkTimeoutMs, signal: closing.signal };
  const members = new Map<string, Member>(
    workers.map(({ address }) => [address, { health: connect(address), up: true, good: 0, silent: 0, checking: null }]),
  );
  for (const address of members.keys()) onChange(address, true, 'start');

  const set = (address: string, member: Member, up: boolean, reason: string) => {
    if (!up) member.good = 0;
    if (member.up === up || closing.signal.aborted) return;
    member.up = up;
    onChange(address, up, reason);
  };
  const checkOnce = async (address: string, member: Member) => {
    try {
      await member.health.check(limits);
      member.silent = 0;
      member.good++;
      if (member.good >= goodChecks) set(address, member, true, 'it serves');
    } catch (error) {
      const { code, message } = toErrataError(error);
      member.good = 0;
      member.silent++;
      if (code !== 'DEADLINE_EXCEEDED' || member.silent >= silentChecks) set(address, member, false, message);
    }
  };
  const check = (address: string): Promise<void> => {
    const member = members.get(address);
    if (member === undefined || closing.signal.aborted) return Promise.resolve();
    member.checking ??= checkOnce(address, member).finally(() => {
      member.checking = null;
    });
    return member.checking;
  };
  /** A check that begins now: one under way may have had its answer before. */
  const checkAgain = async (address: string): Promise<void> => {
    await members.get(address)?.checking;
    await check(address);
  };
  const timers = new Map<string, NodeJS.Timeout>();
  const keepChecking = async (address: string): Promise<void> => {
    await check(address);
    if (!closing.signal.aborted)
      timers.set(
        address,
        setTimeout(() => void keepChecking(address), intervalMs),
      );
  };
  for (const address of members.keys()) void keepChecking(address);

  const isUp = (address: string) => members.get(address)?.up ?? false;
  return {
    isUp,
    place(streamId, layerIndex, rowShards = 1) {
      const [owner, ...peers] = placeShard(streamId, layerIndex, workers, ({ address }) => isUp(address), rowShards);
      const homes = placeShard(streamId, layerIndex, workers, () => true, rowShards);
      return {
        owner,
        peers: peers.map(({ address }) => address),
        standsIn: [owner, ...peers].some((worker, shard) => worker !== homes[shard]),
      };
    },
    async watch(placement, call) {
      const { owner, peers, standsIn } = placement;
      try {
        return await call(placement);
      } catch (error) {
        if (!(error instanceof ErrataError)) throw error;
        const member = members.get(owner.address);
        if (isUnreachable(error) && member) set(owner.address, member, false, error.message);
        else if (error.code === 'NOT_READY') await Promise.all([...new Set([owner.address, ...peers])].map(checkAgain));
        if (error.code === 'OUT_OF_MEMORY' && standsIn)
          throw new ErrataError(
            'NOT_READY',
            `${error.message}; it stands in for a worker that is down and waits for that one to return`,
            { cause: error },
          );
        throw error;
      }
    },
    close() {
      closing.abort();
      for (const timer of timers.values()) clearTimeout(timer);
      for (const { health } of members.values()) health.close();
    },
  };
}
