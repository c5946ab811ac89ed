import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { choosePip, fetchWheel, pipArguments, type WheelFile } from '../bootstrap/lib/download.mjs';
import { locateTools } from '../bootstrap/lib/tools.mjs';

const name = 'errata_sample-1.0-py3-none-any.whl';
const makeWheel = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
    wheel.writestr('errata_sample/data.bin', b'1234')
    wheel.writestr('errata_sample-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: errata-sample\\nVersion: 1.0\\n')
    wheel.writestr('errata_sample-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr('errata_sample-1.0.dist-info/RECORD', '')
`;

let folder: string;
let env: Record<string, string | undefined>;
let sha256: string;

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'errata download-'));
  const index = path.join(folder, 'index');
  mkdirSync(index);
  execFileSync('python3', ['-c', makeWheel, path.join(index, name)]);
  sha256 = createHash('sha256')
    .update(readFileSync(path.join(index, name)))
    .digest('hex');
  env = { ...process.env, PIP_NO_INDEX: '1', PIP_FIND_LINKS: new URL(`file://${encodeURI(index)}`).href };
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function fetchInto(downloads: string, file: WheelFile, requirement = 'errata-sample==1.0') {
  return fetchWheel({ requirement, file, downloads, python: 'python3', env });
}

test('a wheel with the pinned sha256 is kept, and not asked for again', async () => {
  const downloads = path.join(folder, 'good');
  const file = { name, sha256, platforms: [] };
  const target = await fetchInto(downloads, file);
  expect(readdirSync(downloads)).toEqual([name]);
  const without = { requirement: 'errata-sample==1.0', file, downloads, python: 'no-such-python' };
  expect(await fetchWheel(without)).toBe(target);
});

test('a wheel with another sha256 is refused and nothing is kept', async () => {
  const downloads = path.join(folder, 'bad');
  const file = { name, sha256: 'a'.repeat(64), platforms: [] };
  await expect(fetchInto(downloads, file)).rejects.toMatchObject({
    message: expect.stringContaining('download of errata-sample==1.0 failed'),
    output: expect.stringContaining('DO NOT MATCH THE HASHES'),
  });
  expect(readdirSync(downloads)).toEqual([]);
});

test('a damaged file in the cache is fetched again', async () => {
  const downloads = path.join(folder, 'damaged');
  mkdirSync(downloads);
  writeFileSync(path.join(downloads, name), 'half a fi');
  const target = await fetchInto(downloads, { name, sha256, platforms: [] });
  expect(createHash('sha256').update(readFileSync(target)).digest('hex')).toBe(sha256);
});

test('a package that cannot be found fails at once and names itself', async () => {
  const downloads = path.join(folder, 'absent');
  const wanted = fetchInto(downloads, { name, sha256, platforms: [] }, 'errata-no-such-sample==1.0');
  await expect(wanted).rejects.toThrow('download of errata-no-such-sample==1.0 failed');
  expect(existsSync(path.join(downloads, name))).toBe(false);
});

test('pip resumes broken connections from the version on that can', () => {
  const file = { name, sha256, platforms: ['manylinux2014_x86_64'], python: '3.11' };
  expect(pipArguments(file, 'r', 't', [25, 0])).not.toContain('--resume-retries');
  expect(pipArguments(file, 'r', 't', [25, 1])).toContain('--resume-retries');
  expect(pipArguments(file, 'r', 't', [25, 1])).toEqual(
    expect.arrayContaining(['--require-hashes', '--platform', 'manylinux2014_x86_64', '--python-version', '3.11']),
  );
});

test('a download that broke off goes on where it was, through the pinned pip', async () => {
  const pip = await choosePip({ downloads: path.join(locateTools().cacheDir, 'downloads'), python: 'python3' });
  expect(pip).toHaveLength(1);
  const bytes = readFileSync(path.join(folder, 'index', name));
  const ranges: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    if (!request.url?.endsWith('.whl')) {
      response.setHeader('content-type', 'text/html').end(`<a href="/${name}">${name}</a>`);
      return;
    }
    ranges.push(request.headers.range);
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    response.writeHead(206, { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` });
    response.end(bytes.subarray(from));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  try {
    const downloads = path.join(folder, 'resumed');
    mkdirSync(downloads);
    writeFileSync(path.join(downloads, `${name}.partial`), bytes.subarray(0, 100));
    const target = await fetchWheel({
      requirement: 'errata-sample==1.0',
      file: { name, sha256, platforms: [] },
      downloads,
      python: 'python3',
      pip,
      env: {
        ...process.env,
        PIP_NO_INDEX: undefined,
        PIP_FIND_LINKS: undefined,
        PIP_INDEX_URL: `http://127.0.0.1:${port}/simple`,
      },
    });
    expect(ranges).toEqual(['bytes=100-']);
    expect(readFileSync(target).equals(bytes)).toBe(true);
    expect(readdirSync(downloads)).toEqual([name]);
  } finally {
    server.close();
  }
});
