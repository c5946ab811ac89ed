import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { installSoftwareVulkan, softwareVulkan, wantsSoftwareVulkan } from '../bootstrap/lib/software-vulkan.mjs';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'errata vulkan-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** An environment whose programs are these scripts, and an empty cache. */
function machine(name: string, programs: Record<string, string>) {
  const bin = path.join(folder, name, 'bin');
  const cache = path.join(folder, name, 'cache');
  mkdirSync(bin, { recursive: true });
  for (const [program, script] of Object.entries(programs)) {
    writeFileSync(path.join(bin, program), `#!/bin/sh\nset -e\n${script}\n`);
    chmodSync(path.join(bin, program), 0o755);
  }
  const notes: string[] = [];
  const step = { done: () => {}, failed: () => {} };
  const reporter = { note: (text: string) => notes.push(text), begin: () => step };
  const env = { PATH: `${bin}${path.delimiter}/usr/bin${path.delimiter}/bin` };
  return { env, cache, notes, install: () => installSoftwareVulkan({ cache, reporter, env }) };
}

const unpack = `
mkdir -p "$3/usr/lib/chromium" "$3/usr/share/doc/chromium-common"
for name in vk_swiftshader_icd.json libvk_swiftshader.so libvulkan.so.1; do cp "$2" "$3/usr/lib/chromium/$name"; done
cp "$2" "$3/usr/share/doc/chromium-common/copyright"`;

test.skipIf(process.platform !== 'linux')('the driver is taken out of the package, and once', async () => {
  const { env, cache, notes, install } = machine('good', {
    'apt-get': 'echo driver > chromium-common_1_all.deb',
    'dpkg-deb': unpack,
  });
  expect(wantsSoftwareVulkan(cache, env)).toBe(true);
  expect(wantsSoftwareVulkan(cache, { ...env, VK_ICD_FILENAMES: 'mine.json' })).toBe(false);
  expect(wantsSoftwareVulkan(cache, { PATH: '' })).toBe(false);
  await install();
  expect(readFileSync(softwareVulkan(cache), 'utf8')).toBe('driver\n');
  expect(readdirSync(path.join(cache, 'tools'))).toEqual(['swiftshader']);
  expect(existsSync(path.join(path.dirname(softwareVulkan(cache)), 'libvulkan.so.1'))).toBe(true);
  expect(wantsSoftwareVulkan(cache, env)).toBe(false);
  expect(notes).toEqual([]);
});

test.skipIf(process.platform !== 'linux')(
  'a package that is not to be had fails nothing and is not asked for again',
  async () => {
    const { env, cache, notes, install } = machine('bad', {
      'apt-get': 'echo "E: Unable to locate package" >&2; exit 100',
      'dpkg-deb': unpack,
    });
    await install();
    expect(notes).toEqual([expect.stringMatching(/WebGPU tests are skipped.*apt-get failed \(exit code 100\)/)]);
    expect(readdirSync(path.join(cache, 'tools'))).toEqual(['swiftshader.failed']);
    expect(wantsSoftwareVulkan(cache, env)).toBe(false);
    rmSync(path.join(cache, 'tools', 'swiftshader.failed'));
    expect(wantsSoftwareVulkan(cache, env)).toBe(true);
  },
);
