import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { finishJob, openJob } from './job-state.js';

let dataDir: string;
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'errata-job-'));
});
afterAll(() => rm(dataDir, { recursive: true }));

test('an interrupted job is taken up again, a finished one or another file starts a new run', async () => {
  expect(await openJob(dataDir, 'a')).toEqual({ job: { run: 1, editsHash: 'a', finished: false }, resumed: false });
  const again = await openJob(dataDir, 'a');
  expect(again).toMatchObject({ resumed: true, job: { run: 1 } });
  await finishJob(dataDir, again.job);
  expect(await openJob(dataDir, 'a')).toMatchObject({ resumed: false, job: { run: 2 } });
  expect(await openJob(dataDir, 'b')).toMatchObject({ resumed: false, job: { run: 3 } });
});
