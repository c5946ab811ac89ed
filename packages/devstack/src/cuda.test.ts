import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  checkCuda,
  chooseVariant,
  missingLibraries,
  rememberVariant,
  variants,
} from '../bootstrap/lib/native-variant.mjs';
import { findNvidia, judgeNvidia, parseCards } from '../bootstrap/lib/nvidia.mjs';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'errata-cuda-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the library of the native engine', () => {
  it('is that for the CPU unless CUDA is asked for, which a checkout then keeps to', () => {
    const choose = (asked?: 'cpu' | 'cuda', ERRATA_CUDA?: string) =>
      chooseVariant({ asked, env: { ERRATA_CUDA }, setup: folder }).name;
    expect(choose()).toBe('cpu');
    expect(choose('cuda')).toBe('cuda');
    expect(choose(undefined, '1')).toBe('cuda');
    expect(choose(undefined, '')).toBe('cpu');
    rememberVariant(folder, variants.cuda);
    expect(choose()).toBe('cuda');
    expect(choose('cpu')).toBe('cpu');
    expect(choose(undefined, '0')).toBe('cpu');
    rememberVariant(folder, variants.cpu);
    expect(choose()).toBe('cpu');
    expect(() => choose(undefined, 'yes')).toThrow('ERRATA_CUDA is "yes"');
  });

  it('for CUDA is of the version of that for the CPU, and shares no folder with it', () => {
    const version = (requirement: string) => requirement.split('==')[1];
    const { cpu, cuda } = variants;
    expect(version(cuda.tensorflow.requirement)).toBe(version(cpu.tensorflow.requirement));
    const wheels = [cpu.tensorflow, cuda.tensorflow, ...cuda.libraries];
    expect(new Set(wheels.map((wheel) => wheel.folder)).size).toBe(wheels.length);
    for (const wheel of wheels)
      for (const file of Object.values(wheel.files)) {
        expect(file.sha256).toMatch(/^[0-9a-f]{64}$/);
        expect(file.name).toContain(version(wheel.requirement));
        expect(file.size).toBeGreaterThan(0);
      }
  });

  it('asks only for what is not there yet, after a download that was interrupted too', () => {
    const { cuda } = variants;
    expect(missingLibraries(folder, cuda)).toHaveLength(1 + cuda.libraries.length);
    const [first] = cuda.libraries;
    mkdirSync(join(folder, first.folder, 'lib'), { recursive: true });
    expect(missingLibraries(folder, cuda)).toContain(first);
    writeFileSync(join(folder, first.folder, '.complete'), '');
    expect(missingLibraries(folder, cuda)).not.toContain(first);
    expect(missingLibraries(folder, variants.cpu)).toEqual([variants.cpu.tensorflow]);
  });

  it('is refused by name where it cannot be, never another in its place', () => {
    const check = (platform: string, arch: string, free = 1e12) =>
      checkCuda({ cache: folder, variant: variants.cuda, platform, arch, free: () => free });
    expect(() => check('linux', 'x64')).not.toThrow();
    expect(() => check('darwin', 'arm64')).toThrow('not pinned for darwin-arm64');
    expect(() => check('linux', 'x64', 2e9)).toThrow(/need 6\.5 GB below .*, and 2\.0 GB are free/);
    expect(() => checkCuda({ cache: folder, variant: variants.cpu, platform: 'darwin', arch: 'arm64' })).not.toThrow();
  });
});

describe('what a machine has of NVIDIA', () => {
  const card = (name: string, driver: string, capability: number) =>
    parseCards(`${name}, ${driver}, ${capability.toFixed(1)}, 81559 MiB\n`);
  const judge = (cards: ReturnType<typeof parseCards> | undefined, library = true) => judgeNvidia({ library, cards });

  it('is read from what nvidia-smi prints', () => {
    expect(parseCards('NVIDIA H100 80GB HBM3, 555.42.06, 9.0, 81559 MiB\nTesla P100, 535.1, 6.0, 16280 MiB\n')).toEqual(
      [
        { name: 'NVIDIA H100 80GB HBM3', driver: '555.42.06', capability: 9, memory: '81559 MiB' },
        { name: 'Tesla P100', driver: '535.1', capability: 6, memory: '16280 MiB' },
      ],
    );
    expect(parseCards('No devices were found\n')).toEqual([]);
  });

  it('is judged, with what to do', () => {
    expect(judge(undefined, false)).toMatchObject({
      missing: expect.stringMatching(/driver 525\.60 .*--gpus all.*nvidia-smi/),
    });
    expect(judge(undefined)).toMatchObject({ found: expect.stringContaining('nvidia-smi does not answer') });
    expect(judge([])).toMatchObject({ found: 'a driver, but no card' });
    expect(judge(card('Tesla K80', '555.42.06', 3.7)).missing).toContain('compute capability 6.0');
    expect(judge(card('A100', '470.1', 8)).missing).toContain('driver 525.60');
    expect(judge(card('H100', '535.104', 9)).missing).toContain('driver 555.42');
    for (const cards of [card('A100', '535.104.05', 8), card('H100', '555.42.06', 9), card('B200', '570.10', 10)])
      expect(judge(cards).missing).toBeUndefined();
    expect(judge(card('H100', '555.42.06', 9)).found).toBe('H100, driver 555.42.06, compute capability 9.0, 81559 MiB');
  });

  it('is found through the loader and the program on PATH', async () => {
    writeFileSync(join(folder, 'libcuda.so.1'), '');
    writeFileSync(join(folder, 'nvidia-smi'), '#!/bin/sh\necho "Card, 560.28, 8.9, 24564 MiB"\n', { mode: 0o755 });
    const found = await findNvidia({ PATH: folder, LD_LIBRARY_PATH: folder });
    expect(found).toEqual({
      library: true,
      cards: [{ name: 'Card', driver: '560.28', capability: 8.9, memory: '24564 MiB' }],
    });
    writeFileSync(join(folder, 'nvidia-smi'), '#!/bin/sh\nexit 9\n', { mode: 0o755 });
    expect((await findNvidia({ PATH: folder, LD_LIBRARY_PATH: folder })).cards).toBeUndefined();
  });
});
