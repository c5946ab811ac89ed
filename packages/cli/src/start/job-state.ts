import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';

const jobSchema = z.object({
  /** Counts the runs of the job on this data directory. */
  run: z.int(),
  /** sha256 of the edits; another file starts another run. */
  editsHash: z.string(),
  finished: z.boolean(),
});

export type Job = z.infer<typeof jobSchema>;

const fileOf = (dataDir: string) => join(dataDir, 'job.json');

/**
 * The job to work on: the one that a stop interrupted when its edits are the same, else a new run. Written before
 * anything is done, so that whatever happens the next start knows.
 */
export async function openJob(dataDir: string, editsHash: string): Promise<{ job: Job; resumed: boolean }> {
  const last = await readJob(dataDir);
  if (last && !last.finished && last.editsHash === editsHash) return { job: last, resumed: true };
  const job: Job = { run: (last?.run ?? 0) + 1, editsHash, finished: false };
  await writeJob(dataDir, job);
  return { job, resumed: false };
}

export async function finishJob(dataDir: string, job: Job): Promise<void> {
  await writeJob(dataDir, { ...job, finished: true });
}

async function readJob(dataDir: string): Promise<Job | null> {
  const text = await readFile(fileOf(dataDir), 'utf8').catch(() => null);
  if (text === null) return null;
  const parsed = jobSchema.safeParse(JSON.parse(text));
  return parsed.success ? parsed.data : null;
}

async function writeJob(dataDir: string, job: Job): Promise<void> {
  const file = fileOf(dataDir);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(`${file}.new`, `${JSON.stringify(job)}\n`);
  await rename(`${file}.new`, file);
}
