import { ErrataError } from '@errata/contracts';
import { afterEach, expect, test } from 'vitest';
import { type Fleet, type RunningServer, serve, watchFleet } from './index.js';
import { until } from './testing/until.js';

type Worker = { readonly address: string; close?(): void };

const intervalMs = 10;
const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp();
});

/** A fleet whose health checks answer what `health` says of each address. */
function scripted(health: Map<string, Error | null>, pause = intervalMs) {
  const changes: string[] = [];
  const checks = new Map<string, number>();
  const fleet = watchFleet<Worker>({
    addresses: [...health.keys()],
    connect: (address) => ({ address }),
    intervalMs: pause,
    onChange: (address, state) => changes.push(`${address} ${state}`),
    healthOf: ({ address }) => ({
      check: async () => {
        checks.set(address, (checks.get(address) ?? 0) + 1);
        const failure = health.get(address);
        if (failure) throw failure;
      },
      close: () => {},
    }),
  });
  cleanUps.push(() => fleet.close());
  return { fleet, changes, checks };
}

const gone = new ErrataError('NOT_READY', 'no connection');
const silent = new ErrataError('DEADLINE_EXCEEDED', 'no answer');
/** A layer that lives on the worker when all are up. */
const layerOn = (fleet: Fleet<Worker>, address: string) =>
  [0, 1].find((layer) => fleet.place('str_1', layer).owner.address === address) ?? -1;

test('a worker that is gone is replaced at once and returns after two good checks', async () => {
  const health = new Map<string, Error | null>([
    ['a:1', null],
    ['b:1', null],
  ]);
  const { fleet, changes, checks } = scripted(health);
  const layer = layerOn(fleet, 'a:1');
  const other = layerOn(fleet, 'b:1');
  health.set('a:1', gone);
  await until(() => !fleet.isUp('a:1'));
  expect(fleet.place('str_1', layer)).toMatchObject({ owner: { address: 'b:1' }, peers: [], standsIn: true });
  expect(fleet.place('str_1', other)).toMatchObject({ owner: { address: 'b:1' }, standsIn: false });
  const before = checks.get('a:1') ?? 0;
  health.set('a:1', null);
  await until(() => fleet.isUp('a:1'));
  expect((checks.get('a:1') ?? 0) - before).toBeGreaterThanOrEqual(2);
  expect(fleet.place('str_1', layer).owner.address).toBe('a:1');
  expect(changes).toEqual(['a:1 up', 'b:1 up', 'a:1 down', 'a:1 up']);
});

test('late answers are forgiven, silence is not', async () => {
  const answers: (Error | null)[] = [silent, silent, silent, silent, null, silent, silent, null, null];
  const changes: string[] = [];
  const fleet = watchFleet<Worker>({
    addresses: ['a:1'],
    connect: (address) => ({ address }),
    intervalMs: 1,
    onChange: (_, state) => changes.push(state),
    healthOf: () => ({
      check: async () => {
        const answer = answers.length > 0 ? answers.shift() : silent;
        if (answer) throw answer;
      },
      close: () => {},
    }),
  });
  cleanUps.push(() => fleet.close());
  await until(() => !fleet.isUp('a:1'));
  expect(answers).toEqual([]);
  expect(changes).toEqual(['up', 'down']);
  expect(() => fleet.place('str_1', 0)).toThrow(/none of the shard workers answers: a:1/);
});

test('a call that fails for want of a peer has every worker of the placement looked into before it ends', async () => {
  const health = new Map<string, Error | null>([
    ['a:1', null],
    ['b:1', null],
    ['c:1', null],
  ]);
  const { fleet } = scripted(health, 60_000);
  const placement = fleet.place('str_1', 0, 2);
  const [peer] = placement.peers;
  health.set(peer, gone);
  const failure = new ErrataError('NOT_READY', 'a peer is away');
  await expect(fleet.watch(placement, () => Promise.reject(failure))).rejects.toBe(failure);
  expect(fleet.isUp(peer)).toBe(false);
  expect(fleet.isUp(placement.owner.address)).toBe(true);
  const next = fleet.place('str_1', 0, 2);
  expect(next.owner).toEqual(placement.owner);
  expect(next.peers).not.toEqual(placement.peers);
});

test('memory that is short only because a worker stands in is worth another try; otherwise it is final', async () => {
  const health = new Map<string, Error | null>([
    ['a:1', null],
    ['b:1', null],
  ]);
  const { fleet } = scripted(health);
  const failure = new ErrataError('OUT_OF_MEMORY', '9 GB are needed');
  const run = () => fleet.watch(fleet.place('str_1', 0, 2), () => Promise.reject(failure));
  await expect(run()).rejects.toBe(failure);
  health.set('a:1', gone);
  await until(() => !fleet.isUp('a:1'));
  await expect(run()).rejects.toMatchObject({ code: 'NOT_READY', message: expect.stringContaining('9 GB are needed') });
});

test('a real server: gone when it stops, back when it serves again at its address', async () => {
  let server: RunningServer | null = await serve('127.0.0.1:0', []);
  const { address } = server;
  cleanUps.push(() => server?.stop(0));
  const changes: string[] = [];
  const fleet = watchFleet<Worker>({
    addresses: [address],
    connect: (at) => ({ address: at }),
    intervalMs,
    onChange: (_, state) => changes.push(state),
  });
  cleanUps.push(() => fleet.close());
  await server.stop(0);
  server = null;
  await until(() => !fleet.isUp(address));
  server = await serve(address, []);
  await until(() => fleet.isUp(address));
  expect(changes).toEqual(['up', 'down', 'up']);
});

test('a worker that is named later takes part once it serves; one that is no longer named leaves', async () => {
  const health = new Map<string, Error | null>([
    ['10.0.0.1:7442', null],
    ['10.0.0.2:7442', gone],
  ]);
  let names = ['10.0.0.1'];
  const changes: string[] = [];
  const closed: string[] = [];
  const fleet = watchFleet<Worker>({
    addresses: ['dns+workers:7442'],
    connect: (address) => ({ address, close: () => void closed.push(address) }),
    intervalMs,
    discoveryMs: intervalMs,
    resolver: { addressesOf: async () => names, serversOf: async () => [] },
    onChange: (address, state) => changes.push(`${address} ${state}`),
    healthOf: ({ address }) => ({
      check: async () => {
        const failure = health.get(address);
        if (failure) throw failure;
      },
      close: () => {},
    }),
  });
  cleanUps.push(() => fleet.close());
  expect(() => fleet.place('str_1', 0)).toThrow(/no shard worker is known yet: dns\+workers:7442/);
  await until(() => fleet.isUp('10.0.0.1:7442'));
  names = ['10.0.0.1', '10.0.0.2'];
  await until(() => changes.includes('10.0.0.2:7442 new'));
  const placed = () => [0, 1].map((layer) => fleet.place('str_1', layer));
  // Nothing is placed on what has never served, nor is anything held in its place.
  expect(placed()).toMatchObject([0, 1].map(() => ({ owner: { address: '10.0.0.1:7442' }, standsIn: false })));
  health.set('10.0.0.2:7442', null);
  await until(() => fleet.isUp('10.0.0.2:7442'));
  expect(new Set(placed().map(({ owner }) => owner.address)).size).toBe(2);
  // DNS that fails says nothing about servers.
  names = [];
  await new Promise((resolve) => setTimeout(resolve, 10 * intervalMs));
  expect(new Set(placed().map(({ owner }) => owner.address)).size).toBe(2);
  names = ['10.0.0.2'];
  await until(() => !fleet.isUp('10.0.0.1:7442'));
  expect(placed()).toMatchObject([0, 1].map(() => ({ owner: { address: '10.0.0.2:7442' }, standsIn: false })));
  expect(changes.at(-1)).toBe('10.0.0.1:7442 left');
  expect(closed).toEqual(['10.0.0.1:7442']);
});
