import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { openGguf, readTensor } from './gguf.js';
import {
  type Entry,
  floats,
  ggufBytes,
  pair,
  refusal,
  stated,
  temporaryFiles,
  u32,
  u64,
  weightFixture,
} from './weight-testing.js';

const file = temporaryFiles(afterAll);
const row = (name: string, more: Partial<Entry> = {}): Entry => ({ name, dimensions: [16n], ...more });
const data = (bytes: number): Buffer => Buffer.alloc(bytes);

describe('a file of the gguf package', () => {
  it('has its metadata and tensors', async () => {
    const wanted = stated('gguf');
    const opened = await openGguf(weightFixture('tiny.gguf'));
    expect(opened.metadata.get('general.alignment')).toBe(64);
    for (const [key, value] of Object.entries(wanted.metadata)) {
      const found = opened.metadata.get(key);
      expect([key, typeof found === 'bigint' ? String(found) : found]).toEqual([key, value]);
    }
    expect([...opened.tensors.keys()]).toEqual(Object.keys(wanted.tensors));
    for (const [name, { shape, values }] of Object.entries(wanted.tensors)) {
      const tensor = opened.tensors.get(name);
      if (!tensor) throw new Error(`no tensor ${name}`);
      expect(tensor.shape).toEqual(shape);
      expect(readTensor(opened, tensor)).toEqual(floats(values));
    }
  });

  it('damaged anywhere is read or refused by name, and cut anywhere is refused', async () => {
    const whole = readFileSync(weightFixture('tiny.gguf'));
    const { tensors } = await openGguf(weightFixture('tiny.gguf'));
    const end = Math.max(...[...tensors.values()].map((tensor) => tensor.offset + tensor.bytes));
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const bytes = Buffer.from(whole);
        bytes[at] ^= change;
        const code = await openGguf(file('damaged.gguf', bytes)).then(
          () => 'read',
          (error) => error.code,
        );
        expect(['read', 'FILE_MALFORMED', 'FILE_TRUNCATED', 'UNSUPPORTED_FORMAT']).toContain(code);
      }),
      { numRuns: 300, seed: 11 },
    );
    await fc.assert(
      fc.asyncProperty(fc.nat(end - 1), async (length) => {
        const { code } = await refusal(() => openGguf(file('cut.gguf', whole.subarray(0, length))));
        expect(code).toBe(length < 4 ? 'FILE_MALFORMED' : 'FILE_TRUNCATED');
      }),
      { numRuns: 100, seed: 12 },
    );
  });
});

describe('hostile headers', () => {
  const cases: [name: string, bytes: Buffer, code: string, message: RegExp][] = [
    ['other magic', ggufBytes({ magic: 'GGML' }), 'FILE_MALFORMED', /GGUF/],
    ['version 1', ggufBytes({ version: 1 }), 'UNSUPPORTED_FORMAT', /version 1/],
    ['version 4', ggufBytes({ version: 4 }), 'UNSUPPORTED_FORMAT', /version 4/],
    ['big-endian', ggufBytes({ version: 0x03000000 }), 'UNSUPPORTED_FORMAT', /big-endian/],
    ['nothing after the version', ggufBytes({}).subarray(0, 8), 'FILE_TRUNCATED', /only 0 bytes/],
    ['2^62 pairs', ggufBytes({ pairCount: 1n << 62n }), 'FILE_TRUNCATED', /4611686018427387904/],
    ['2^64 − 1 tensors', ggufBytes({ tensorCount: (1n << 64n) - 1n }), 'FILE_TRUNCATED', /18446744073709551615/],
    ['a long key', ggufBytes({ pairs: [u64(1n << 60n), data(64)] }), 'FILE_MALFORMED', /key 0 has 1152921504606846976/],
    ['a key past the end', ggufBytes({ pairs: [u64(5000n), data(64)] }), 'FILE_TRUNCATED', /key 0.*5000/],
    ['an empty key', ggufBytes({ pairs: [pair('', 0, data(1))] }), 'FILE_MALFORMED', /key 0 is empty/],
    [
      'a key twice',
      ggufBytes({ pairs: [pair('k', 0, data(1)), pair('k', 0, data(1))] }),
      'FILE_MALFORMED',
      /"k" appears twice/,
    ],
    ['an unknown value type', ggufBytes({ pairs: [pair('k', 13, data(8))] }), 'FILE_MALFORMED', /value type 13/],
    [
      'a list of lists',
      ggufBytes({ pairs: [pair('k', 9, Buffer.concat([u32(9), u64(1n), data(32)]))] }),
      'FILE_MALFORMED',
      /list of lists/,
    ],
    [
      'a list of 2^40 bytes',
      ggufBytes({ pairs: [pair('k', 9, Buffer.concat([u32(0), u64(1n << 40n)]))] }),
      'FILE_TRUNCATED',
      /1099511627776/,
    ],
    [
      'a list of 2^63 strings',
      ggufBytes({ pairs: [pair('k', 9, Buffer.concat([u32(8), u64(1n << 63n)]))] }),
      'FILE_TRUNCATED',
      /9223372036854775808/,
    ],
    [
      'a long string',
      ggufBytes({ pairs: [pair('k', 8, u64(1n << 50n))] }),
      'FILE_MALFORMED',
      /"k" has 1125899906842624/,
    ],
    [
      'a list of 5,000,000 bytes',
      ggufBytes({ pairs: [pair('k', 9, Buffer.concat([u32(0), u64(5_000_000n), data(5_000_000)]))] }),
      'FILE_MALFORMED',
      /5000000 elements/,
    ],
    ['alignment 0', ggufBytes({ pairs: [pair('general.alignment', 4, u32(0))] }), 'FILE_MALFORMED', /alignment is "0"/],
    [
      'alignment 24',
      ggufBytes({ pairs: [pair('general.alignment', 4, u32(24))] }),
      'FILE_MALFORMED',
      /alignment is "24"/,
    ],
    [
      'alignment of another type',
      ggufBytes({ pairs: [pair('general.alignment', 10, u64(32n))] }),
      'FILE_MALFORMED',
      /uint32/,
    ],
    ['a long tensor name', ggufBytes({ tensors: [row('t'.repeat(64))] }), 'FILE_MALFORMED', /64 bytes; at most 63/],
    [
      'a tensor twice',
      ggufBytes({ tensors: [row('t'), row('t', { offset: 64n })], data: data(128) }),
      'FILE_MALFORMED',
      /"t" appears twice/,
    ],
    [
      'five dimensions',
      ggufBytes({ tensors: [row('t', { dimensions: [1n, 1n, 1n, 1n, 1n] })], data: data(64) }),
      'FILE_MALFORMED',
      /5 dimensions/,
    ],
    [
      '2^32 − 1 dimensions',
      ggufBytes({ tensors: [row('t', { rank: 2 ** 32 - 1 })], data: data(64) }),
      'FILE_MALFORMED',
      /4294967295 dimensions/,
    ],
    [
      'a dimension of 0',
      ggufBytes({ tensors: [row('t', { dimensions: [0n, 4n] })], data: data(64) }),
      'FILE_MALFORMED',
      /\[4,0\]/,
    ],
    [
      'a dimension of 2^64 − 1',
      ggufBytes({ tensors: [row('t', { dimensions: [(1n << 64n) - 1n] })], data: data(64) }),
      'FILE_MALFORMED',
      /impossible shape/,
    ],
    [
      'a product of 2^64',
      ggufBytes({ tensors: [row('t', { dimensions: [1n << 32n, 1n << 32n] })], data: data(64) }),
      'FILE_MALFORMED',
      /impossible shape/,
    ],
    [
      'a scalar of a block format',
      ggufBytes({ tensors: [row('t', { dimensions: [], type: 8 })], data: data(64) }),
      'FILE_MALFORMED',
      /impossible shape/,
    ],
    [
      'half a block a row',
      ggufBytes({ tensors: [row('t', { dimensions: [128n, 2n], type: 12 })], data: data(144) }),
      'FILE_MALFORMED',
      /Q4_K, which stores 256/,
    ],
    [
      'an unknown storage type',
      ggufBytes({ tensors: [row('t', { type: 16 })], data: data(64) }),
      'UNSUPPORTED_FORMAT',
      /storage type 16/,
    ],
    [
      'a tensor beyond the file',
      ggufBytes({ tensors: [row('t', { dimensions: [17n] })], data: data(64) }),
      'FILE_TRUNCATED',
      /"t" ends at byte/,
    ],
    [
      'tensors one over the other',
      ggufBytes({ tensors: [row('a'), row('b')], data: data(128) }),
      'FILE_MALFORMED',
      /"b" begins at byte 0.*64 was due/,
    ],
    [
      'a hole between tensors',
      ggufBytes({ tensors: [row('a'), row('b', { offset: 96n })], data: data(256) }),
      'FILE_MALFORMED',
      /"b" begins at byte 96.*64 was due/,
    ],
    [
      'a tensor off its alignment',
      ggufBytes({ tensors: [row('a', { dimensions: [4n] }), row('b', { offset: 16n })], data: data(128) }),
      'FILE_MALFORMED',
      /"b" begins at byte 16.*32 was due/,
    ],
  ];

  it.each(cases)('%s', async (name, bytes, code, message) => {
    const found = await refusal(() => openGguf(file(`${name.replace(/\W/g, '')}.gguf`, bytes)));
    expect([found.code, found.message]).toEqual([code, expect.stringMatching(message)]);
  });

  it('shows a name of control characters on one line', async () => {
    const bytes = ggufBytes({ tensors: [row('a\nb\u001b[31m', { type: 99 })], data: data(64) });
    const { message } = await refusal(() => openGguf(file('control.gguf', bytes)));
    expect([...message].filter((char) => char < ' ')).toEqual([]);
  });
});
