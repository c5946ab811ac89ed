import { readFileSync, truncateSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { openSafetensors } from './safetensors.js';
import { floats, refusal, safetensorsBytes, stated, temporaryFiles, weightFixture } from './weight-testing.js';

const file = temporaryFiles(afterAll);
const tensor = (from: number, to: number, shape = [(to - from) / 4], dtype = 'F32') => ({
  dtype,
  shape,
  data_offsets: [from, to],
});

describe('a file of the safetensors package', () => {
  it('has its metadata and tensors', () => {
    const wanted = stated('safetensors');
    const opened = openSafetensors(weightFixture('tiny.safetensors'));
    expect(Object.fromEntries(opened.metadata)).toEqual(wanted.metadata);
    for (const [name, { shape, values }] of Object.entries(wanted.tensors)) {
      expect([name, opened.tensors.get(name)?.shape]).toEqual([name, shape]);
      expect([name, opened.read(name)]).toEqual([name, floats(values)]);
    }
  });

  it('lists tensors of integers and refuses to read them', async () => {
    const opened = openSafetensors(weightFixture('tiny.safetensors'));
    expect(opened.tensors.get('i64')?.shape).toEqual([4]);
    expect(await refusal(() => opened.read('i64'))).toMatchObject({
      code: 'UNSUPPORTED_FORMAT',
      message: expect.stringMatching(/"i64" is stored as I64/),
    });
    expect((await refusal(() => opened.read('flags'))).message).toMatch(/BOOL/);
  });

  it('refuses a name it lacks, an array of another size and a file that shrank', async () => {
    const bytes = readFileSync(weightFixture('tiny.safetensors'));
    const path = file('shrinks.safetensors', bytes);
    const opened = openSafetensors(path);
    expect((await refusal(() => opened.read('none'))).message).toMatch(/no tensor "none"/);
    expect((await refusal(() => opened.read('f32', new Float32Array(31)))).code).toBe('FILE_MALFORMED');
    const last = Math.max(...[...opened.tensors.values()].map((t) => t.offset));
    truncateSync(path, last);
    const codes = await Promise.all(
      ['f32', 'f64', 'bf16', 'f16', 'scalar'].map((name) =>
        refusal(() => opened.read(name)).then(
          (r) => r.code,
          () => 'read',
        ),
      ),
    );
    expect(codes.filter((code) => code !== 'read')).toEqual([]);
    truncateSync(path, opened.tensors.get('f32')?.offset);
    expect((await refusal(() => opened.read('f32'))).code).toBe('FILE_TRUNCATED');
    expect((await refusal(() => opened.read('f16'))).code).toBe('FILE_TRUNCATED');
  });

  it('damaged anywhere is read or refused by name, and cut anywhere is refused', async () => {
    const whole = readFileSync(weightFixture('tiny.safetensors'));
    const check = (bytes: Buffer): string => {
      try {
        openSafetensors(file('damaged.safetensors', bytes));
        return 'read';
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = Buffer.from(whole);
        bytes[at] ^= change;
        expect(['read', 'FILE_MALFORMED', 'FILE_TRUNCATED']).toContain(check(bytes));
      }),
      { numRuns: 300, seed: 13 },
    );
    fc.assert(
      fc.property(fc.nat(whole.length - 1), (length) => {
        expect(check(whole.subarray(0, length))).toBe('FILE_TRUNCATED');
      }),
      { numRuns: 100, seed: 14 },
    );
  });
});

describe('what the reference implementation accepts', () => {
  const cases: [name: string, bytes: Buffer, names: string[]][] = [
    ['no tensors', safetensorsBytes('{}'), []],
    ['white space behind the header', safetensorsBytes('{}\r \t\n'), []],
    ['a scalar', safetensorsBytes({ test: tensor(0, 4, [], 'I32') }, 4), ['test']],
    ['a tensor without values', safetensorsBytes({ test: tensor(0, 0, [2, 0], 'I32') }), ['test']],
    ['tensors in any order', safetensorsBytes({ b: tensor(8, 16), a: tensor(0, 8) }, 16), ['a', 'b']],
    [
      'escaped names',
      safetensorsBytes('{"a\\"\\u00e9\\ud83d\\ude42\\\\":{"data_offsets":[0,4],"shape":[1],"dtype":"F32"}}', 4),
      ['a"é🙂\\'],
    ],
    [
      'a key of Object.prototype',
      safetensorsBytes('{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4),
      ['__proto__'],
    ],
    ['numbers of half a byte', safetensorsBytes({ t: tensor(0, 2, [4], 'F4') }, 2), ['t']],
  ];
  it.each(cases)('%s', (name, bytes, names) => {
    const opened = openSafetensors(file(`${name.replace(/\W/g, '')}.safetensors`, bytes));
    expect([...opened.tensors.keys()]).toEqual(names);
  });
});

describe('what it rejects', () => {
  const raw = (header: string, data = 16): Buffer => safetensorsBytes(header, data);
  const info = '{"dtype":"F32","shape":[4],"data_offsets":[0,16]}';
  const cases: [name: string, bytes: Buffer, code: string, message: RegExp][] = [
    ['an empty file', Buffer.alloc(0), 'FILE_TRUNCATED', /has 0 bytes/],
    ['less than a length', Buffer.alloc(7), 'FILE_TRUNCATED', /has 7 bytes/],
    [
      'a header of 2^64 − 1 bytes',
      safetensorsBytes('{}', 0, (1n << 64n) - 1n),
      'FILE_MALFORMED',
      /18446744073709551615 bytes; at most 100000000/,
    ],
    ['a header of 100,000,001 bytes', safetensorsBytes('{}', 0, 100_000_001n), 'FILE_MALFORMED', /at most 100000000/],
    [
      'a header beyond the file',
      safetensorsBytes('{}', 0, 100_000_000n),
      'FILE_TRUNCATED',
      /header ends at byte 100000008/,
    ],
    ['no header', safetensorsBytes(''), 'FILE_MALFORMED', /begins with/],
    ['a header that is no object', raw('[]'), 'FILE_MALFORMED', /begins with "\["/],
    ['white space before the header', raw(' {}', 0), 'FILE_MALFORMED', /begins with " "/],
    ['a byte order mark', raw('\ufeff{}', 0), 'FILE_MALFORMED', /begins with/],
    ['bytes that are no UTF-8', safetensorsBytes(Buffer.from([0x7b, 0xff, 0x7d])), 'FILE_MALFORMED', /UTF-8/],
    ['half a header', raw('{', 0), 'FILE_MALFORMED', /nothing instead of a string/],
    ['text behind the header', raw(`{"t":${info}}x`), 'FILE_MALFORMED', /"x" instead of the end/],
    ['a comma too many', raw(`{"t":${info},}`), 'FILE_MALFORMED', /instead of a string/],
    ['a tensor twice', raw(`{"t":${info},"t":${info}}`), 'FILE_MALFORMED', /second tensor "t"/],
    ['a tensor twice, once escaped', raw(`{"t":${info},"\\u0074":${info}}`), 'FILE_MALFORMED', /second tensor "t"/],
    [
      'metadata twice',
      raw(`{"__metadata__":{},"__metadata__":{},"t":${info}}`),
      'FILE_MALFORMED',
      /second "__metadata__"/,
    ],
    ['a metadata key twice', raw(`{"__metadata__":{"a":"","a":""},"t":${info}}`), 'FILE_MALFORMED', /second "a"/],
    ['metadata that is a number', raw(`{"__metadata__":{"a":1},"t":${info}}`), 'FILE_MALFORMED', /instead of a string/],
    ['metadata that is a list', raw(`{"__metadata__":["a"],"t":${info}}`), 'FILE_MALFORMED', /instead of "\{"/],
    [
      'a field twice',
      raw('{"t":{"dtype":"F32","dtype":"F32","shape":[4],"data_offsets":[0,16]}}'),
      'FILE_MALFORMED',
      /second "dtype"/,
    ],
    ['no dtype', raw('{"t":{"shape":[4],"data_offsets":[0,16]}}'), 'FILE_MALFORMED', /"t" without dtype/],
    ['no shape', raw('{"t":{"dtype":"F32","data_offsets":[0,16]}}'), 'FILE_MALFORMED', /without dtype, shape/],
    [
      'three offsets',
      raw('{"t":{"dtype":"F32","shape":[4],"data_offsets":[0,16,16]}}'),
      'FILE_MALFORMED',
      /two data_offsets/,
    ],
    [
      'a dtype that is null',
      raw('{"t":{"dtype":null,"shape":[4],"data_offsets":[0,16]}}'),
      'FILE_MALFORMED',
      /instead of a string/,
    ],
    [
      'an unknown dtype',
      safetensorsBytes({ t: tensor(0, 16, [4], 'F33') }, 16),
      'FILE_MALFORMED',
      /unknown dtype "F33"/,
    ],
    [
      'a dtype in small letters',
      safetensorsBytes({ t: tensor(0, 16, [4], 'f32') }, 16),
      'FILE_MALFORMED',
      /unknown dtype "f32"/,
    ],
    [
      'a negative dimension',
      raw('{"t":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}}'),
      'FILE_MALFORMED',
      /instead of a whole number/,
    ],
    [
      'a fraction',
      raw('{"t":{"dtype":"F32","shape":[4.0],"data_offsets":[0,16]}}'),
      'FILE_MALFORMED',
      /instead of a whole number/,
    ],
    [
      'an exponent',
      raw('{"t":{"dtype":"F32","shape":[4e0],"data_offsets":[0,16]}}'),
      'FILE_MALFORMED',
      /instead of a whole number/,
    ],
    ['a leading zero', raw('{"t":{"dtype":"F32","shape":[04],"data_offsets":[0,16]}}'), 'FILE_MALFORMED', /"4\]|"04/],
    [
      'a dimension of 2^64',
      raw('{"t":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,16]}}'),
      'FILE_MALFORMED',
      /overflows/,
    ],
    [
      'a product beyond counting',
      raw('{"t":{"dtype":"F32","shape":[4503599627370496,4503599627370496],"data_offsets":[0,16]}}'),
      'FILE_MALFORMED',
      /"t".*more values than can be counted/,
    ],
    [
      'a product that would wrap to the right size',
      raw('{"t":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}}', 0),
      'FILE_MALFORMED',
      /more values/,
    ],
    [
      'a nested list',
      raw(`{"t":{"dtype":"F32","shape":[[4]],"data_offsets":[0,16]}}`),
      'FILE_MALFORMED',
      /instead of a whole number/,
    ],
    [
      '65 dimensions',
      safetensorsBytes(
        {
          t: tensor(
            0,
            4,
            Array.from({ length: 65 }, () => 1),
          ),
        },
        4,
      ),
      'FILE_MALFORMED',
      /more than 64/,
    ],
    ['deep nesting', raw('{"t":'.repeat(100_000), 0), 'FILE_MALFORMED', /unknown or second "t"/],
    [
      'another size than shape and dtype say',
      safetensorsBytes({ t: tensor(0, 4, [2, 2], 'I32') }, 4),
      'FILE_MALFORMED',
      /takes 16 bytes, but 4/,
    ],
    ['a size of half a byte', safetensorsBytes({ t: tensor(0, 1, [1], 'F4') }, 1), 'FILE_MALFORMED', /takes 0.5 bytes/],
    ['an end before the beginning', safetensorsBytes({ t: tensor(16, 0, [4]) }, 16), 'FILE_MALFORMED', /bytes 16 to 0/],
    [
      'a hole in front',
      safetensorsBytes({ t: tensor(4, 20) }, 20),
      'FILE_MALFORMED',
      /"t" lies at bytes 4 to 20.*begin at 0/,
    ],
    [
      'a hole between',
      safetensorsBytes({ a: tensor(0, 16), b: tensor(20, 36) }, 36),
      'FILE_MALFORMED',
      /"b" lies at bytes 20.*begin at 16/,
    ],
    [
      'tensors one over the other',
      safetensorsBytes({ a: tensor(0, 16), b: tensor(8, 24) }, 24),
      'FILE_MALFORMED',
      /"b" lies at bytes 8.*begin at 16/,
    ],
    [
      'the same bytes twice',
      safetensorsBytes({ a: tensor(0, 16), b: tensor(0, 16) }, 16),
      'FILE_MALFORMED',
      /begin at 16/,
    ],
    ['bytes missing at the end', safetensorsBytes({ t: tensor(0, 16) }, 14), 'FILE_TRUNCATED', /tensors end at byte/],
    ['bytes behind the tensors', safetensorsBytes({ t: tensor(0, 16) }, 17), 'FILE_MALFORMED', /tensors end at byte/],
    ['a lone surrogate', raw(`{"\\ud800":${info}}`), 'FILE_MALFORMED', /malformed string/],
    ['a control character in a name', raw(`{"a\nb":${info}}`), 'FILE_MALFORMED', /malformed string/],
    ['an unknown escape', raw(`{"\\x41":${info}}`), 'FILE_MALFORMED', /malformed string/],
    ['a string without an end', raw('{"t\\"', 0), 'FILE_MALFORMED', /without an end/],
  ];
  it.each(cases)('%s', async (name, bytes, code, message) => {
    const found = await refusal(() => openSafetensors(file(`${name.replace(/\W/g, '')}.safetensors`, bytes)));
    expect([found.code, found.message]).toEqual([code, expect.stringMatching(message)]);
  });

  it('a folder', async () => {
    expect((await refusal(() => openSafetensors(weightFixture('.')))).code).toBe('FILE_NOT_FOUND');
  });
});
