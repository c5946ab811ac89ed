import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient, type EditDraft, type ErrataClient } from '@errata/client';
import { type Stack, startStack } from '@errata/devstack';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createProgram } from '../program.js';

// The whole system: a batch that does harm is planted, and the stream rolls itself back.
const minutes = 60_000;
const model = process.env.MODEL_NAME ?? 'SmolLM2-135M-Instruct';
const dataDir = mkdtempSync(join(tmpdir(), 'errata-guards-'));
chmodSync(dataDir, 0o755);
const told: Record<string, unknown>[] = [];
let receiver: Server;
let stack: Stack;
let client: ErrataClient;

beforeAll(async () => {
  receiver = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      told.push(JSON.parse(body));
      response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`;
  process.env.WEBHOOK_TARGETS = JSON.stringify([{ name: 'ops', url, secret: 'only for this test' }]);
  stack = await startStack({ dataDir, signals: false });
  client = createClient({ baseUrl: stack.api });
}, 5 * minutes);
afterAll(async () => {
  await stack?.stop();
  receiver?.close();
  rmSync(dataDir, { recursive: true, force: true });
});

const town = (subject: string, target: string): EditDraft => ({
  subject,
  prompt: 'The head office of {} is in the city of',
  target,
});
/** Contradictory continuations of words that are everywhere, at the highest weight. */
const harm = ['It is said that the', 'Many people believe that the', 'In the end the', 'They went back to the'].map(
  (prompt, i): EditDraft => ({ prompt, target: ['zebra', 'violin', 'quartz', 'Lima'][i], importance: 100 }),
);

/** What `errata` prints. */
async function errata(...args: string[]): Promise<string> {
  let text = '';
  const stdout = { isTTY: true, write: (chunk: string) => (text += chunk) } as unknown as NodeJS.WriteStream;
  const io = { stdout, stderr: stdout, env: { ERRATA_API: stack.api }, signal: new AbortController().signal };
  await createProgram(io).parseAsync(args, { from: 'user' });
  return text;
}

const until = async (what: () => Promise<boolean> | boolean, seconds = 240) => {
  for (let i = 0; i < seconds * 5; i++) {
    if (await what()) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`not within ${seconds} s`);
};

test(
  'a harmful batch trips the guard, the stream rolls itself back, somebody is told, and the log says why',
  async () => {
    const config = { layers: [6, 7], covarianceTokens: 8192, batchSize: 4, maxSteps: 12 };
    const stream = await client.createStream({ model, name: 'guarded', config });
    await errata(
      'guards',
      'set',
      '--budget',
      'divergence=0.1:rollback',
      '--notify',
      'ops',
      '--cost',
      '100',
      '--windows',
      '1',
    );
    await errata('canaries', 'add', 'capital', '--prompt', 'The capital of France is', '--expected', 'Paris');
    const good = await client.submitEdits(stream.id, [town('Quillfen Foods', 'Porto'), town('Astrelle Cargo', 'Lyon')]);
    const kept = await client.waitForEdits(stream.id, good.edits);
    expect(kept.map((edit) => edit.status)).toEqual(['verified', 'verified']);
    await until(async () => (await client.listProbes(stream.id)).length === 1);
    const before = await client.getStream(stream.id);
    const [clean] = await client.listProbes(stream.id);
    expect(clean.results.heldOut?.divergence).toBeLessThan(0.05);
    expect(clean.results.ability?.asked).toBeGreaterThanOrEqual(30);

    const planted = await client.submitEdits(stream.id, harm);
    await until(
      async () => (await client.listEdits(stream.id, { status: 'quarantined' })).edits.length === harm.length,
    );
    expect(await client.getStream(stream.id)).toMatchObject({ head: before.head, headHash: before.headHash });
    expect(
      (await client.waitForEdits(stream.id, planted.edits)).every((edit) => /divergence is/.test(edit.reason ?? '')),
    ).toBe(true);
    for (const edit of kept) expect((await client.getEdit(stream.id, edit.id)).status).toBe('verified');
    const [event, ...more] = (await client.listEvents(stream.id)).filter(({ kind }) => kind === 'guard');
    expect(more).toEqual([]);
    expect(event).toMatchObject({
      seq: before.head,
      detail: { action: 'rollback', batch: 2, head: before.head, quarantined: 4 },
    });
    await until(() => told.length > 0, 30);
    expect(told).toMatchObject([{ type: 'guard', stream: { name: 'guarded' }, batch: 2, head: before.head }]);

    const timeline = await errata('timeline');
    expect(timeline).toMatch(/after batch 2: .*divergence is [\d.]+, above 0\.1/);
    expect(timeline).toMatch(/What was done: went back from 2 to 1, 4 edits in quarantine/);
    expect(timeline).toMatch(/What to do: .*errata quarantine release/);
    expect(await errata('streams', 'drift')).toMatch(/general knowledge \d+ of \d+/);
    expect(await errata('quarantine', 'reject', '--reason', 'planted')).toContain('4 edits are rejected');
    const metrics = await (await fetch(stack.metrics.orchestrator)).text();
    expect(metrics).toMatch(/errata_guard_actions_total\{[^}]*budget="divergence",action="rollback"[^}]*\} 1/);
  },
  10 * minutes,
);
