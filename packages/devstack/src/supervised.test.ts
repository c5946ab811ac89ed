import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { processIdentity } from '../bootstrap/lib/identity.mjs';
import type { StackEvent } from './events.js';
import { type ProcessSpec, type Supervised, supervise } from './supervised.js';

let folder: string;
let events: StackEvent[];
let running: Supervised[];

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'errata supervised-'));
  events = [];
  running = [];
});

afterEach(async () => {
  await Promise.all(running.map((process) => process.stop()));
  rmSync(folder, { recursive: true, force: true });
});

function launch(script: string, overrides: Partial<ProcessSpec> = {}): Supervised {
  const process_ = supervise(
    {
      name: 'script',
      command: process.execPath,
      args: ['-e', script],
      env: process.env,
      cwd: folder,
      logFile: path.join(folder, 'logs', 'script.log'),
      stopSignal: 'SIGTERM',
      stopTimeoutMs: 1000,
      readyTimeoutMs: 5000,
      isReady: (log) => log.includes('"ready":true'),
      ...overrides,
    },
    (event) => events.push(event),
    () => {},
  );
  running.push(process_);
  return process_;
}

const serving = `console.log('{"ready":true}'); setInterval(() => {}, 1000);`;

test('a killed process is started again and is ready at its next ready line, not at the old one', async () => {
  const process_ = launch(serving);
  await process_.start();
  const first = process_.pid();
  process_.kill('SIGKILL');
  await process_.ready();
  expect(process_.pid()).not.toBe(first);
  expect(processIdentity(process_.pid() ?? 0)).toBeDefined();
  expect(events.map(({ kind }) => kind)).toEqual(['starting', 'ready', 'crashed', 'starting', 'ready']);
  expect(events[2]).toMatchObject({ exit: 'SIGKILL' });
  expect(readFileSync(path.join(folder, 'logs', 'script.log'), 'utf8').match(/ready/g)).toHaveLength(2);
});

test('a process that ends before it is ready fails the start with its last log lines', async () => {
  const process_ = launch(`console.error('DATABASE_URL is not set'); process.exit(3)`);
  await expect(process_.start()).rejects.toThrow(
    /script ended before it was ready \(exit code 3\)[\s\S]*DATABASE_URL is not set/,
  );
  expect(process_.state()).toBe('failed');
});

test('a process that is never ready is killed at its time limit', async () => {
  const process_ = launch('setInterval(() => {}, 1000)', { readyTimeoutMs: 300 });
  await expect(process_.start()).rejects.toThrow('was not ready after 0.3 s');
  expect(process_.pid()).toBeUndefined();
});

test('a process that keeps crashing is given up and its last lines are told', async () => {
  const process_ = launch(
    `console.log('{"ready":true}'); setTimeout(() => { console.log('out of luck'); process.exit(1) }, 200)`,
    {
      restart: { firstDelayMs: 10, longestDelayMs: 20, mostCrashes: 3, windowMs: 60_000 },
    },
  );
  await process_.start();
  while (process_.state() !== 'failed') await sleep(20);
  expect(events.filter(({ kind }) => kind === 'crashed')).toHaveLength(2);
  expect(events.at(-1)).toMatchObject({ kind: 'failed', lastLines: ['{"ready":true}', 'out of luck'] });
  await expect(process_.ready()).rejects.toThrow('has failed');
});

test('stop asks first and kills a process that does not listen, with its children', async () => {
  const polite = launch(
    `process.on('SIGTERM', () => { require('node:fs').writeFileSync('asked', ''); process.exit(0) }); ${serving}`,
  );
  await polite.start();
  await polite.stop();
  expect(existsSync(path.join(folder, 'asked'))).toBe(true);

  const stubborn = launch(
    `process.on('SIGTERM', () => {});
     const child = require('node:child_process').spawn('sleep', ['60']);
     console.log('child ' + child.pid); ${serving}`,
    { stopTimeoutMs: 200, logFile: path.join(folder, 'stubborn.log') },
  );
  await stubborn.start();
  const child = Number(/child (\d+)/.exec(readFileSync(path.join(folder, 'stubborn.log'), 'utf8'))?.[1]);
  expect(processIdentity(child)).toBeDefined();
  await stubborn.stop();
  await sleep(100);
  expect(processIdentity(child)).toBeUndefined();
});

test('stop while a restart is pending leaves nothing running', async () => {
  const process_ = launch(serving, {
    restart: { firstDelayMs: 60_000, longestDelayMs: 60_000, mostCrashes: 5, windowMs: 60_000 },
  });
  await process_.start();
  process_.kill('SIGKILL');
  while (process_.state() !== 'waiting') await sleep(10);
  await process_.stop();
  expect(process_.state()).toBe('stopped');
  expect(process_.pid()).toBeUndefined();
});

test('a process that is stopped by SIGKILL is not asked first, stays down, and can be started again', async () => {
  const process_ = launch(`process.on('SIGTERM', () => require('node:fs').writeFileSync('asked', '')); ${serving}`);
  await process_.start();
  await process_.stop('SIGKILL');
  expect(process_.pid()).toBeUndefined();
  expect(process_.state()).toBe('stopped');
  expect(existsSync(path.join(folder, 'asked'))).toBe(false);
  expect(events.some(({ kind }) => kind === 'crashed')).toBe(false);
  await process_.start();
  expect(process_.state()).toBe('ready');
});
