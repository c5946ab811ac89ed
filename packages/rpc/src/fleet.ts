import { ErrataError, toErrataError } from '@errata/contracts';
import type { CallLimits } from './calls.js';
import { discover, type Resolver } from './discovery.js';
import { isUnreachable } from './errors.js';
import { connectHealth, type HealthClient } from './health-client.js';
import { type Addressed, placeShard } from './placement.js';

/** Time a worker has to answer a health check. */
const checkTimeoutMs = 2000;
/** Checks without an answer after which a worker counts as down: a busy machine may make one late. */
const silentChecks = 5;
/** Good checks in a row after which a worker counts as up again. */
const goodChecks = 2;
/** As long as Kubernetes lets its answers be kept. */
const defaultDiscoveryMs = 5000;

/** It is named and has not served yet, it serves, others stand in for it, or it is no longer named. */
export type MemberState = 'new' | 'up' | 'down' | 'left';

export interface FleetOptions<Worker extends Addressed> {
  /** host:port, or names by which DNS tells of servers (`discover`). */
  readonly addresses: readonly string[];
  readonly connect: (address: string) => Worker;
  /** What a worker is called in messages; a shard worker when left out. */
  readonly kind?: string | undefined;
  /** What asks a worker for its health; grpc.health.v1 when left out. */
  readonly healthOf?: ((worker: Worker) => HealthClient) | undefined;
  /** Pause between two health checks of a worker, in milliseconds. */
  readonly intervalMs: number;
  /** Told of every change, and of the beginning, when all count as up. */
  readonly onChange: (address: string, state: MemberState, reason: string) => void;
  /** Pause between two questions to DNS, in milliseconds; 5,000 when left out. */
  readonly discoveryMs?: number | undefined;
  readonly resolver?: Resolver | undefined;
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
  /** Ends the watch, and closes the workers that can be closed. */
  close(): void;
}

interface Member<Worker> {
  readonly worker: Worker;
  readonly health: HealthClient;
  up: boolean;
  /** It was up once: before that nothing is placed on it, or shards would move twice. */
  joined: boolean;
  good: number;
  silent: number;
  checking: Promise<void> | null;
}

/**
 * Watches shard workers: a worker that cannot be reached is down at once, one that stays silent after five checks; it is
 * up again after two good checks in a row. One that is named later takes part from when it is first up. One that is no longer named leaves; what it was
 * asked is still answered.
 */
export function watchFleet<Worker extends Addressed & { close?(): void }>(
  options: FleetOptions<Worker>,
): Fleet<Worker> {
  const { addresses: named, connect, intervalMs, onChange, kind = 'shard worker' } = options;
  const healthOf = options.healthOf ?? (({ address }) => connectHealth(address, 'shard-worker'));
  const closing = new AbortController();
  const limits: CallLimits = { timeoutMs: checkTimeoutMs, signal: closing.signal };
  const members = new Map<string, Member<Worker>>();
  const timers = new Map<string, NodeJS.Timeout>();
  /** Names that DNS does not know, each with the last reason. */
  const unknown = new Map<string, readonly string[]>();

  const set = (address: string, member: Member<Worker>, up: boolean, reason: string) => {
    if (!up) member.good = 0;
    if (member.up === up || members.get(address) !== member) return;
    member.up = up;
    member.joined ||= up;
    onChange(address, up ? 'up' : 'down', reason);
  };
  const checkOnce = async (address: string, member: Member<Worker>) => {
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
  const keepChecking = async (address: string, member: Member<Worker>): Promise<void> => {
    await check(address);
    if (members.get(address) !== member) return;
    const next = () => void keepChecking(address, member);
    timers.set(address, setTimeout(next, intervalMs));
  };
  const leave = (address: string, { worker, health }: Member<Worker>) => {
    members.delete(address);
    clearTimeout(timers.get(address));
    health.close();
    worker.close?.();
  };
  const stopDiscovery = discover(named, {
    intervalMs: options.discoveryMs ?? defaultDiscoveryMs,
    resolver: options.resolver,
    onChange(addresses) {
      const first = members.size === 0;
      for (const [address, member] of members) {
        if (addresses.includes(address)) continue;
        leave(address, member);
        onChange(address, 'left', 'it is no longer named');
      }
      for (const address of addresses) {
        if (members.has(address)) continue;
        const worker = connect(address);
        const health = healthOf(worker);
        const member = { worker, health, up: first, joined: first, good: 0, silent: 0, checking: null };
        members.set(address, member);
        onChange(address, first ? 'up' : 'new', first ? 'start' : 'it is named');
        void keepChecking(address, member);
      }
      unknown.clear();
    },
    onFailure(name, { message }) {
      unknown.set(name, [message]);
    },
  });

  const isUp = (address: string) => members.get(address)?.up ?? false;
  return {
    isUp,
    place(streamId, layerIndex, rowShards = 1) {
      const workers = [...members.values()].filter(({ joined }) => joined).map(({ worker }) => worker);
      if (workers.length === 0)
        throw new ErrataError(
          'NOT_READY',
          `no ${kind} is known yet: ${named.map((name) => [name, ...(unknown.get(name) ?? [])].join(': ')).join(', ')}`,
        );
      const isLive = ({ address }: Worker) => isUp(address);
      const [owner, ...peers] = placeShard(streamId, layerIndex, workers, isLive, rowShards, kind);
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
      stopDiscovery();
      for (const [address, member] of members) leave(address, member);
    },
  };
}
