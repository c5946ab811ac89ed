import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { processIdentity } from '../bootstrap/lib/identity.mjs';
import { endLedger, writeLedger } from '../bootstrap/lib/ledger.mjs';
import { lockHolder, tryLock } from '../bootstrap/lib/lock.mjs';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'errata-ledger-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function until(condition: () => boolean): Promise<void> {
  for (const deadline = performance.now() + 10_000; !condition(); await sleep(20))
    if (performance.now() > deadline) throw new Error('the condition did not come true within 10 s');
}

test('what a ledger names is ended; a process id in other hands is left alone', async () => {
  const file = path.join(folder, 'ledger.json');
  const child = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
  const pid = child.pid ?? 0;
  await until(() => processIdentity(pid) !== undefined);
  writeLedger(file, [
    { name: 'sleeper', pid, identity: processIdentity(pid), signal: 'SIGTERM' },
    { name: 'stranger', pid: process.pid, identity: 'another start', signal: 'SIGKILL' },
  ]);
  expect(await endLedger(file)).toEqual(['sleeper']);
  expect(processIdentity(pid)).toBeUndefined();
  expect(existsSync(file)).toBe(false);
});

test('the guard ends what a killed parent left running', async () => {
  const file = path.join(folder, 'guarded.json');
  const library = fileURLToPath(new URL('../bootstrap/', import.meta.url));
  const parent = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import { spawn } from 'node:child_process';
       import { processIdentity } from ${JSON.stringify(`${library}lib/identity.mjs`)};
       import { writeLedger } from ${JSON.stringify(`${library}lib/ledger.mjs`)};
       const child = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
       const guard = [${JSON.stringify(`${library}guard.mjs`)}, ${JSON.stringify(file)}];
       spawn(process.execPath, guard, { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
       setTimeout(() => {
         const identity = processIdentity(child.pid);
         writeLedger(${JSON.stringify(file)}, [{ name: 'sleeper', pid: child.pid, identity, signal: 'SIGTERM' }]);
       }, 200);`,
    ],
    { stdio: 'inherit' },
  );
  await until(() => existsSync(file));
  const [{ pid }] = JSON.parse(readFileSync(file, 'utf8')) as { pid: number }[];
  expect(processIdentity(pid)).toBeDefined();
  parent.kill('SIGKILL');
  await until(() => processIdentity(pid) === undefined);
});

test('a lock is held once, names its holder, and is free again after its holder died', async () => {
  const file = path.join(folder, 'lock');
  const release = tryLock(file);
  expect(release).toBeDefined();
  expect(lockHolder(file)).toBe(process.pid);
  expect(tryLock(file)).toBeUndefined();
  release?.();
  expect(lockHolder(file)).toBeUndefined();

  const library = fileURLToPath(new URL('../bootstrap/lib/lock.mjs', import.meta.url));
  const script = `import { tryLock } from ${JSON.stringify(library)}; tryLock(${JSON.stringify(file)}); process.kill(process.pid, 'SIGKILL')`;
  const dead = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' });
  await new Promise((resolve) => dead.once('exit', resolve));
  expect(existsSync(file)).toBe(true);
  const taken = tryLock(file);
  expect(taken).toBeDefined();
  taken?.();
});
