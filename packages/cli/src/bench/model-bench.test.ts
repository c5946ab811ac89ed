import { testModelPath } from '@errata/model/testing';
import { describe, expect, it, test } from 'vitest';
import { UsageError } from '../failure.js';
import { benchGenerate } from './generate-bench.js';
import { benchKeys } from './keys-bench.js';
import { benchMemory } from './memory-bench.js';
import { parseModelOptions, readEdits } from './model-bench.js';
import { generateText, keysText, memoryText, targetsText } from './model-report.js';
import { benchTargets } from './targets-bench.js';

const run = { python: null, signal: new AbortController().signal, env: {}, onProgress: () => undefined };

test('options that cannot be are named, and a batch holds no more than there are edits', () => {
  expect(parseModelOptions({ edits: '4', batch: '10' })).toEqual({ edits: 4, batch: 4 });
  expect(() => parseModelOptions({ edits: '0', batch: '10' })).toThrow(
    new UsageError('--edits is "0": give a whole number from 1 to 100000'),
  );
  expect(() => parseModelOptions({ edits: '4', batch: '257' })).toThrow('--batch');
});

test('more edits than there are examples begin again with the first', async () => {
  const edits = await readEdits(60);
  expect(edits.length).toBe(60);
  const again = edits.findIndex(
    (edit, i) => i > 0 && edit.subject === edits[0].subject && edit.prompt === edits[0].prompt,
  );
  expect(again).toBeGreaterThan(20);
  expect(edits[again + 1]).toEqual(edits[1]);
});

describe.skipIf(testModelPath === '')('benchmarks of the model', () => {
  const options = { edits: 1, batch: 1, rounds: 1, model: testModelPath };

  it('time targets against the plain loop, to the same losses', async () => {
    const report = await benchTargets(options, run);
    expect(report.maxLossDifference).toBeLessThan(1e-3);
    expect(report.maxLossDifference).toBeGreaterThan(0);
    expect(report.otherSteps).toBe(0);
    expect(report.leakedTensors).toBe(0);
    expect(report.speedupOverNaive).toBeCloseTo(report.naiveSecondsPerEdit / report.secondsPerEdit, 9);
    expect(report.ratioToTorch).toBeNull();
    expect(report.meanSteps).toBeGreaterThan(0);
    // Each of the products was run, so no machine can be faster than their number allows, short of a burst.
    expect(report.flopsPerEdit).toBeGreaterThan(1e9);
    expect(report.ratioToFloor).toBeCloseTo(report.secondsPerEdit / report.floorSecondsPerEdit, 9);
    expect(report.residentBytesAtLast).toBeGreaterThan(2 ** 29);
    expect(targetsText(report)).toContain('PyTorch: left out');
  });

  it('time keys and generation, and name a Python that does not do', async () => {
    const keys = await benchKeys(options, { ...run, python: 'no-such-python' });
    expect(keys.maxKeyDifference).toBeLessThan(1e-3);
    expect(keys.leakedTensors).toBe(0);
    expect(keys.torch.missing).toContain('no-such-python');
    expect(keysText(keys)).toContain('no-such-python');
    const generated = await benchGenerate({ ...options, tokens: 3 }, run);
    expect(generated.tokensPerSecond).toBeGreaterThan(0);
    expect(generated.leakedTensors).toBe(0);
    expect(generateText(generated)).toContain('generation of 3 tokens');
  });

  it('tell the memory of each kind of work', async () => {
    const report = await benchMemory({ ...options, tokens: 2 }, run);
    expect(report.phases.map(({ work }) => work)).toEqual([
      'weights',
      'targets',
      'keys',
      'generation',
      'sampled covariance',
    ]);
    for (const { peakResidentBytes } of report.phases) expect(peakResidentBytes).toBeGreaterThan(report.weightBytes);
    expect(report.peakResidentBytes).toBe(Math.max(...report.phases.map((phase) => phase.peakResidentBytes)));
    expect(report.leakedTensors).toBe(0);
    expect(memoryText(report)).toContain('sampled covariance');
  });
});
