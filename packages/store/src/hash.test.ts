import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { batchHash, entryHash, genesisHash } from './hash.js';
import type { LogEntry } from './types.js';

const entry: LogEntry = {
  streamId: `str_${'0a'.repeat(16)}`,
  seq: 258,
  layer: 7,
  sign: -1,
  keys: { rows: 2, columns: 1, data: Float32Array.of(1, -2) },
  g: { rows: 2, columns: 1, data: Float32Array.of(0.5, 4) },
  b: { rows: 1, columns: 1, data: Float32Array.of(3) },
  rDiagonal: [1.5],
  stats: { seconds: 1 },
  configHash: 'cd'.repeat(32),
};

it('hashes an entry as its comment says, byte for byte', () => {
  const hex = [
    Buffer.from(entry.streamId).toString('hex'),
    '0201000000000000',
    '07000000',
    'ffffffff',
    '02000000',
    '01000000',
    '00000000',
    '01000000',
    'cd'.repeat(32),
    '0000803f000000c0',
    '0000003f00008040',
    '00004040',
    '000000000000f83f',
  ].join('');
  const expected = createHash('sha256')
    .update(Buffer.from('ab'.repeat(32) + hex, 'hex'))
    .digest('hex');
  expect(entryHash('ab'.repeat(32), entry)).toBe(expected);
});

it('depends on everything but the stats', () => {
  const base = entryHash('00'.repeat(32), entry);
  const one = (value: number) => ({ rows: 1, columns: 1, data: Float32Array.of(value) });
  const changes: Partial<LogEntry>[] = [
    { streamId: `str_${'0b'.repeat(16)}` },
    { seq: 259 },
    { layer: 8 },
    { sign: 1 },
    { b: one(4) },
    { rDiagonal: [1.25] },
    { configHash: 'ce'.repeat(32) },
  ];
  const hashes = changes.map((change) => entryHash('00'.repeat(32), { ...entry, ...change }));
  expect(new Set([base, ...hashes]).size).toBe(changes.length + 1);
  expect(entryHash('00'.repeat(32), { ...entry, stats: { seconds: 2 } })).toBe(base);
});

it('chains batches from the genesis', () => {
  const genesis = genesisHash('str_a', 'model', 'config');
  expect(genesis).toBe(createHash('sha256').update('errata.log.v1str_amodelconfig').digest('hex'));
  const [a, b] = ['11'.repeat(32), '22'.repeat(32)];
  const bytes = Buffer.concat([Buffer.from(`${genesis}0202000000${a}${b}`, 'hex'), Buffer.from('edt_1edt_2')]);
  expect(batchHash(genesis, 'revoke', [a, b], ['edt_1', 'edt_2'])).toBe(
    createHash('sha256').update(bytes).digest('hex'),
  );
  expect(batchHash(genesis, 'revoke', [b, a], ['edt_1', 'edt_2'])).not.toBe(
    batchHash(genesis, 'revoke', [a, b], ['edt_1', 'edt_2']),
  );
});
