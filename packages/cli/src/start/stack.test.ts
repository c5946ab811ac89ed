import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createClient, type EditDraft, type ErrataClient } from '@errata/client';
import type { Edit } from '@errata/contracts';
import { dashboards } from '@errata/deploy';
import { startPrometheus, type TestPrometheus } from '@errata/deploy/testing';
import { type Stack, startStack } from '@errata/devstack';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { JobReport } from './report.js';

// The whole system, nothing left out: Postgres, Temporal, the model, every service as its own process.
const minutes = 60_000;
const model = process.env.MODEL_NAME ?? 'SmolLM2-135M-Instruct';
const cli = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const dataDir = mkdtempSync(join(tmpdir(), 'errata-stack-'));
chmodSync(dataDir, 0o755);

afterAll(() => rmSync(dataDir, { recursive: true, force: true }));

function runMainJob(): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cli, 'start', '--once', '--json'], {
      env: { ...process.env, ERRATA_DATA: dataDir },
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

test(
  'the main job writes, verifies, revokes and rolls back the example edits within the published limits',
  async () => {
    const { code, stdout, stderr } = await runMainJob();
    expect(code, stderr).toBe(0);
    const report = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as JobReport;
    expect(report.edits).toBeGreaterThanOrEqual(24);
    expect(report.applied).toBe(report.edits);
    expect(report.rewriteBefore).toBeLessThan(0.1);
    expect(report.rewriteAfter).toBeGreaterThanOrEqual(0.95);
    expect(report.paraphraseAfter).toBeGreaterThanOrEqual(0.8);
    expect(report.neighboursKept).toBeGreaterThanOrEqual(0.8);
    expect((report.perplexityAfter ?? Number.NaN) / (report.perplexityBefore ?? Number.NaN)).toBeLessThan(1.1);
    expect(report.revokeExact).toBe(true);
    expect(report.revokeError).toBeGreaterThan(0);
    expect(report.rollbackExact).toBe(true);
    expect(report.secondsPerEdit.targets).toBeGreaterThan(0);
    expect(report.drift.every((layer) => layer.deltaNorm > 0 && layer.deltaNorm <= layer.deltaBound)).toBe(true);
  },
  10 * minutes,
);

describe('a running stack', () => {
  let stack: Stack;
  let client: ErrataClient;
  let streams = 0;

  const up = async () => {
    stack = await startStack({ dataDir, signals: false });
    client = createClient({ baseUrl: stack.api });
  };
  beforeAll(up, 3 * minutes);
  afterAll(() => stack?.stop());

  /** Two layers and a small covariance: what is tested here is the way of a batch, and the main job has edited five. */
  const small = { layers: [9, 10], covarianceTokens: 8192, batchSize: 2 };
  const newStream = (config = {}) =>
    client.createStream({ model, name: `test-${streams++}`, config: { ...small, ...config } });
  const town = (name: string, target: string): EditDraft => ({
    subject: name,
    prompt: 'The head office of {} is in the city of',
    target,
  });
  const fourTowns = [
    town('Quillfen Foods', 'Porto'),
    town('Astrelle Cargo', 'Lyon'),
    town('Dunmarrow Steel', 'Oslo'),
    town('Vexley Optics', 'Madrid'),
  ];
  const until = async (what: () => Promise<boolean>, seconds = 120) => {
    for (let i = 0; i < seconds * 10; i++) {
      if (await what()) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`not within ${seconds} s`);
  };
  const statuses = (edits: Edit[]) => edits.map((edit) => edit.status);
  /** Every edit in the weights once, the log whole and equal to its closed form. */
  const expectWhole = async (streamId: string, edits: Edit[]) => {
    expect(new Set(edits.map((edit) => `${edit.seq}/${edit.column}`)).size).toBe(edits.length);
    const batches = (await client.listBatches(streamId)).filter((batch) => batch.onHead);
    expect(batches.reduce((sum, batch) => sum + batch.edits, 0)).toBe(edits.length);
    const log = await client.verify(streamId, { deep: true });
    expect(log.problems).toEqual([]);
    expect(log.ok).toBe(true);
    for (const layer of log.deep ?? []) {
      expect(layer.survivingColumns).toBe(edits.length);
      expect(layer.weightError).toBeLessThan(1e-5);
    }
  };

  test('refuses a model that no runtime serves', async () => {
    await expect(client.createStream({ model: 'no-such-model' })).rejects.toMatchObject({ code: 'UNKNOWN_MODEL' });
  });

  test(
    'a batch whose shard workers are killed in the middle completes after their restart, once',
    async () => {
      const stream = await newStream();
      const submitted = await client.submitEdits(stream.id, fourTowns);
      await until(async () => (await client.listEdits(stream.id, { status: 'resolved' })).edits.length > 0);
      stack.kill('shard-worker-1', 'SIGKILL');
      stack.kill('shard-worker-2', 'SIGKILL');
      const edits = await client.waitForEdits(stream.id, submitted.edits);
      expect(statuses(edits)).toEqual(['verified', 'verified', 'verified', 'verified']);
      await expectWhole(stream.id, edits);
    },
    5 * minutes,
  );

  const events = async (streamId: string, kind: string) =>
    (await client.listEvents(streamId)).filter((event) => event.kind === kind);
  /** Lines of the orchestrator's log about workers that came and went. */
  const changesOf = (worker: string) =>
    readFileSync(join(stack.logDir, 'orchestrator.log'), 'utf8')
      .split('\n')
      .filter((line) => line.includes('"msg":"shard worker is') && line.includes(`"worker":"${worker}"`))
      .map((line) => (JSON.parse(line) as { up: boolean }).up);
  const isUp = async (worker: string) => {
    const page = await (await fetch(stack.metrics.orchestrator)).text();
    const line = page.split('\n').find((one) => one.startsWith('errata_shard_worker_up') && one.includes(worker));
    return line?.endsWith(' 1') ?? false;
  };
  /** Shards that each worker opened or caught up, from its own metrics. */
  const requests = async (name: string) => {
    const page = await (await fetch(stack.metrics[name])).text();
    return page
      .split('\n')
      .filter((line) => line.startsWith('errata_shard_request_duration_seconds_count') && line.includes('"apply"'))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  };

  /** Does something while a process is gone. */
  const without = async <Result>(name: string, work: () => Promise<Result>): Promise<Result> => {
    await stack.takeDown(name);
    try {
      return await work();
    } finally {
      await stack.bringBack(name);
    }
  };

  test(
    'edits go on with one of two shard workers, nothing is lost, and shards return to the other',
    async () => {
      const [first] = stack.shardWorkers;
      const stream = await newStream();
      const start = await client.submitEdits(stream.id, fourTowns.slice(0, 2));
      await client.waitForEdits(stream.id, start.edits);
      const middle = await client.submitEdits(stream.id, fourTowns.slice(2));
      await until(async () => (await client.listEdits(stream.id, { status: 'resolved' })).edits.length > 0);
      const edits = await without('shard-worker-1', async () => {
        const settled = await client.waitForEdits(stream.id, [...start.edits, ...middle.edits]);
        expect(statuses(settled)).toEqual(['verified', 'verified', 'verified', 'verified']);
        expect(await isUp(first)).toBe(false);
        await expectWhole(stream.id, settled);
        return settled;
      });
      await until(() => isUp(first));
      expect(changesOf(first).slice(-2)).toEqual([false, true]);
      expect(await requests('shard-worker-1')).toBe(0);
      const last = await client.submitEdits(stream.id, [town('Harrowgate Mills', 'Vienna')]);
      const all = [...edits, ...(await client.waitForEdits(stream.id, last.edits))];
      expect(statuses(all).at(-1)).toBe('verified');
      expect(await requests('shard-worker-1')).toBeGreaterThan(0);
      await expectWhole(stream.id, all);
    },
    5 * minutes,
  );

  test(
    'a branch goes on alone, differs by what it did, and is merged back',
    async () => {
      const main = await newStream();
      const submitted = await client.submitEdits(main.id, fourTowns.slice(0, 2));
      const [first, second] = await client.waitForEdits(main.id, submitted.edits);
      const branch = await client.createBranch(main.id, { name: `${main.name} trial` });
      expect(branch).toMatchObject({ status: 'ready', head: 1, origin: { streamId: main.id, seq: 1 } });
      const moved = await client.submitEdits(branch.id, [town(String(second.subject), 'Rome'), fourTowns[2]]);
      expect(statuses(await client.waitForEdits(branch.id, moved.edits))).toEqual(['verified', 'verified']);
      await client.revoke(branch.id, [first.id], 'not in the branch');
      expect((await client.getEdit(branch.id, first.id)).status).toBe('revoked');
      expect((await client.getEdit(branch.id, second.id)).status).toBe('superseded');
      expect(statuses(await client.waitForEdits(main.id, submitted.edits))).toEqual(['verified', 'verified']);
      const deep = await client.verify(branch.id, { deep: true });
      expect(deep).toMatchObject({ seq: 4, ok: true });
      for (const layer of deep.deep ?? []) expect(layer.weightError).toBeLessThan(1e-4);

      const diff = await client.diff(main.id, { with: branch.id });
      expect(diff.common).toMatchObject({ seq: 1 });
      expect(diff.counts).toEqual({ added: 1, removed: 1, changed: 1, kept: 0 });
      expect(diff.layers.map(({ layer }) => layer)).toEqual(main.config.layers);
      for (const { distance, from, to } of diff.layers) {
        const norms = [from?.deltaNorm ?? 0, to?.deltaNorm ?? 0];
        expect(distance).toBeGreaterThan(Math.abs(norms[0] - norms[1]));
        expect(distance).toBeLessThan(norms[0] + norms[1]);
      }

      const request = { from: branch.name, revocations: true };
      const preview = await client.merge(main.id, { ...request, dryRun: true });
      expect(preview.counts).toEqual({ edits: 2, revocations: 1, conflicts: 0, present: 0, skipped: 0 });
      const merged = await client.merge(main.id, request);
      expect(merged.queued.map(({ mergedFrom }) => mergedFrom)).toEqual(moved.edits.map(({ id }) => id));
      const edits = await client.waitForEdits(main.id, merged.queued);
      expect(statuses(edits)).toEqual(['verified', 'verified']);
      await until(async () => (await client.getEdit(main.id, first.id)).status === 'revoked');
      expect((await client.merge(main.id, request)).counts).toMatchObject({ edits: 0, revocations: 0, present: 2 });
      expect((await client.diff(main.id, { with: branch.id })).counts).toEqual({
        added: 0,
        removed: 0,
        changed: 0,
        kept: 2,
      });
      const back = await client.rollback(main.id, { at: new Date(Date.parse(branch.createdAt) + 1).toISOString() });
      expect([back.head, back.hash]).toEqual([1, branch.headHash]);
    },
    5 * minutes,
  );

  test(
    'a layer spread over two workers: edits are written, weighed, taken out and outlive the loss of either',
    async () => {
      const stream = await newStream({ rowShards: 2 });
      const weighed = fourTowns.map((edit, i) => ({ ...edit, importance: [1, 2, 1, 1][i] }));
      const submitted = await client.submitEdits(stream.id, weighed);
      await until(async () => (await client.getStream(stream.id)).head > 0);
      const edits = await without('shard-worker-2', () => client.waitForEdits(stream.id, submitted.edits));
      expect(edits.map((edit) => edit.importance)).toEqual([1, 2, 1, 1]);
      expect(statuses(edits)).toEqual(['verified', 'verified', 'verified', 'verified']);
      await until(() => isUp(stack.shardWorkers[1]));
      await expectWhole(stream.id, edits);
      const [prepared] = await events(stream.id, 'prepared');
      expect(prepared.detail.layers).toHaveLength(stream.config.layers.length);

      await client.revoke(stream.id, [edits[1].id]);
      const log = await client.verify(stream.id, { deep: true });
      expect(log.deep?.every((layer) => layer.survivingColumns === 3 && layer.weightError < 1e-5)).toBe(true);
      const drift = await client.getDrift(stream.id);
      expect(drift.layers.every((layer) => layer.deltaNorm > 0 && layer.deltaNorm <= layer.deltaBound)).toBe(true);
    },
    5 * minutes,
  );

  test(
    'the model runtime, the orchestrator and the gateway may be killed while edits are being written',
    async () => {
      const stream = await newStream();
      const submitted = await client.submitEdits(stream.id, fourTowns);
      for (const name of ['model-runtime', 'orchestrator', 'gateway']) {
        await new Promise((resolve) => setTimeout(resolve, 1500));
        stack.kill(name, 'SIGKILL');
        await stack.ready(name, 60_000);
      }
      const edits = await client.waitForEdits(stream.id, submitted.edits);
      expect(statuses(edits)).toEqual(['verified', 'verified', 'verified', 'verified']);
      await expectWhole(stream.id, edits);
    },
    5 * minutes,
  );

  test(
    'a full stop in the middle loses nothing: the next start finishes the work',
    async () => {
      const stream = await newStream();
      const submitted = await client.submitEdits(stream.id, fourTowns);
      await until(async () => (await client.getStream(stream.id)).head > 0);
      await stack.stop();
      await up();
      const edits = await client.waitForEdits(stream.id, submitted.edits);
      expect(statuses(edits)).toEqual(['verified', 'verified', 'verified', 'verified']);
      await expectWhole(stream.id, edits);
    },
    5 * minutes,
  );

  test(
    'what the model already says is verified without a write, a repeat is rejected, a new target supersedes',
    async () => {
      const stream = await newStream();
      const known = { subject: 'France', prompt: 'The capital of {} is', target: 'Paris' };
      const first = await client.submitEdits(stream.id, [known, town('Quillfen Foods', 'Porto')]);
      const [already, porto] = await client.waitForEdits(stream.id, first.edits);
      expect(already).toMatchObject({ status: 'verified', seq: null });
      expect(already.reason).toMatch(/already/);
      expect(porto.status).toBe('verified');

      const repeat = await client.submitEdits(stream.id, [town('quillfen  foods', 'Porto')]);
      expect(repeat.edits[0].status).toBe('rejected');
      expect(repeat.edits[0].reason).toContain(porto.id);

      const second = await client.submitEdits(stream.id, [town('Quillfen Foods', 'Dublin')]);
      const [dublin] = await client.waitForEdits(stream.id, second.edits);
      expect(dublin.status).toBe('verified');
      expect((await client.getEdit(stream.id, porto.id)).status).toBe('superseded');
      const answer = await client.complete(stream.id, {
        prompt: 'The head office of Quillfen Foods is in the city of',
        max_tokens: 3,
      });
      expect(answer.choices[0].text).toContain('Dublin');
      let streamed = '';
      const request = { prompt: 'The head office of Quillfen Foods is in the city of', max_tokens: 3 };
      for await (const { choices } of client.streamCompletion(stream.id, request)) streamed += choices[0].text;
      expect(streamed).toBe(answer.choices[0].text);
      const messages = [{ role: 'user' as const, content: 'What is the capital of France?' }];
      const said = await client.chat(stream.id, { messages, max_tokens: 24 });
      expect(said.choices[0].message.content).toContain('Paris');
      const log = await client.verify(stream.id, { deep: true });
      expect(log.ok).toBe(true);
      expect(log.deep?.every((layer) => layer.survivingColumns === 1 && layer.weightError < 1e-5)).toBe(true);
    },
    5 * minutes,
  );

  test(
    'revoke, checkpoint and rollback: refused where they make no sense, exact where they do',
    async () => {
      const stream = await newStream();
      const submitted = await client.submitEdits(stream.id, fourTowns.slice(0, 2));
      const [porto, lyon] = await client.waitForEdits(stream.id, submitted.edits);
      const checkpoint = await client.createCheckpoint(stream.id, 'both');
      const before = await client.verify(stream.id, { deep: true });

      const change = await client.revoke(stream.id, [porto.id]);
      expect(change.head).toBeGreaterThan(checkpoint.seq);
      expect((await client.getEdit(stream.id, porto.id)).status).toBe('revoked');
      expect((await client.getEdit(stream.id, lyon.id)).status).toBe('verified');
      const without = await client.verify(stream.id, { deep: true });
      expect(without.deep?.every((layer) => layer.survivingColumns === 1 && layer.weightError < 1e-5)).toBe(true);
      await expect(client.revoke(stream.id, [porto.id])).rejects.toMatchObject({ code: 'EDIT_NOT_REVOCABLE' });
      await expect(client.revoke(stream.id, [`edt_${'0'.repeat(32)}`])).rejects.toMatchObject({ code: 'UNKNOWN_EDIT' });
      await expect(client.rollback(stream.id, { seq: 999 })).rejects.toMatchObject({ code: 'UNKNOWN_POSITION' });
      await expect(client.rollback(stream.id, { checkpoint: 'nowhere' })).rejects.toMatchObject({
        code: 'UNKNOWN_CHECKPOINT',
      });

      const back = await client.rollback(stream.id, { checkpoint: 'both' });
      expect(back.hash).toBe(checkpoint.hash);
      const again = await client.verify(stream.id, { deep: true });
      expect(again).toEqual(before);
      expect((await client.getEdit(stream.id, porto.id)).status).toBe('verified');

      const forward = await client.rollback(stream.id, { seq: change.head });
      expect(forward.hash).toBe(change.hash);
      expect((await client.verify(stream.id, { deep: true })).deep).toEqual(without.deep);
    },
    5 * minutes,
  );

  test(
    'pause holds edits, resume writes them',
    async () => {
      const stream = await newStream();
      await client.pause(stream.id);
      const submitted = await client.submitEdits(stream.id, [fourTowns[3]]);
      await new Promise((resolve) => setTimeout(resolve, 2000));
      expect((await client.listEdits(stream.id)).edits[0].status).toBe('queued');
      await client.resume(stream.id);
      const [edit] = await client.waitForEdits(stream.id, submitted.edits);
      expect(edit.status).toBe('verified');
    },
    5 * minutes,
  );

  const prometheus = process.env.ERRATA_PROMETHEUS;
  if (prometheus === undefined)
    console.warn('no Prometheus: dashboards are not tested; put it on PATH, or run `npm run setup -- --test`');
  test.skipIf(prometheus === undefined)(
    'every expression of every dashboard has data in a Prometheus that scrapes the stack',
    async () => {
      const folder = mkdtempSync(join(dataDir, 'prometheus-'));
      const scraper: TestPrometheus = await startPrometheus(prometheus ?? '', stack.metrics, folder);
      try {
        await until(async () => (await scraper.values('up{job="errata"} == 1')).length === 5);
        const stream = await newStream({ maxSteps: 8, batchSize: 1 });
        await client.setGuards(stream.id, { probes: { costShare: 100, windows: 1 } });
        await client.addCanary(stream.id, { name: 'capital', prompt: 'The capital of France is', expected: 'Paris' });
        const probes = { paraphrases: ['Quillfen Foods is based in'], neighbours: ['The head office of Airbus is in'] };
        await client.waitForEdits(
          stream.id,
          (await client.submitEdits(stream.id, [{ ...fourTowns[0], ...probes }, fourTowns[1]])).edits,
        );
        // The main job has been evaluated; where this test runs alone, nothing has.
        const isEvaluated = async () => (await scraper.values('errata_evaluation_perplexity')).length > 0;
        if (!(await isEvaluated())) await client.evaluate(stream.id);
        await until(isEvaluated);
        await until(async () => (await scraper.values('errata_probe_retention_ratio')).length > 0);
        // Two scrapes after the last of it.
        await new Promise((resolve) => setTimeout(resolve, 2500));
        const empty: string[] = [];
        // A forecast needs five rounds and a trend.
        const absent = /errata_forecast_edits_left/;
        for (const { expr } of dashboards.flatMap(({ rows }) =>
          rows.flatMap(({ panels }) => panels.flatMap((panel) => panel.queries)),
        ))
          if (!absent.test(expr) && (await scraper.values(expr)).length === 0) empty.push(expr);
        expect(empty).toEqual([]);
      } finally {
        await scraper.stop();
      }
    },
    10 * minutes,
  );
});
