import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const built = new URL('../dist/thread.js', import.meta.url).href;
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'errata-thread-'));
});

afterAll(() => rmSync(folder, { recursive: true }));

/** A process whose program is `code`, run by `runInThread`. */
function start(
  name: string,
  code: string,
  args: readonly string[] = [],
): { child: ChildProcess; output: () => string } {
  const entry = join(folder, `${name}.mjs`);
  const program = join(folder, `${name}-program.mjs`);
  writeFileSync(entry, `import { runInThread } from '${built}';\nrunInThread(new URL('file://${program}'));`);
  writeFileSync(program, `import { onEndSignal } from '${built}';\nimport { writeSync } from 'node:fs';\n${code}`);
  const child = spawn(process.execPath, [entry, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (data) => {
      output += data;
    });
  return { child, output: () => output };
}

const ended = async ({ child }: { child: ChildProcess }) => (await once(child, 'close')) as [number | null, string];

async function said({ child, output }: { child: ChildProcess; output: () => string }, text: string): Promise<void> {
  while (!output().includes(text)) await once(child.stdout as NonNullable<ChildProcess['stdout']>, 'data');
}

describe('runInThread', () => {
  it('hands arguments and environment on, and ends with the code of the program', async () => {
    const run = start('ends', "process.env.SET = 'here'; writeSync(1, process.argv[2]); process.exitCode = 3;", [
      'given',
    ]);
    expect(await ended(run)).toEqual([3, null]);
    expect(run.output()).toBe('given');
  });

  it('ends with 1 and shows what the program threw', async () => {
    const run = start('throws', "throw new Error('no such layer');");
    expect(await ended(run)).toEqual([1, null]);
    expect(run.output()).toContain('no such layer');
  });

  it('passes a signal on to a program, which may take its time', async () => {
    const code = `onEndSignal((signal) => setTimeout(() => { writeSync(1, signal); process.exit(0); }, 50));
      setInterval(() => {}, 1000); writeSync(1, 'ready ');`;
    const run = start('stops', code);
    await said(run, 'ready');
    run.child.kill('SIGTERM');
    expect(await ended(run)).toEqual([0, null]);
    expect(run.output()).toBe('ready SIGTERM');
  });

  it('ends at once on a second Ctrl-C, though the program computes', async () => {
    const run = start('computes', "onEndSignal(() => {}); writeSync(1, 'ready'); for (;;);");
    await said(run, 'ready');
    run.child.kill('SIGINT');
    run.child.kill('SIGTERM');
    await new Promise((resolve) => setTimeout(resolve, 100));
    run.child.kill('SIGINT');
    expect(await ended(run)).toEqual([1, null]);
  });
});
