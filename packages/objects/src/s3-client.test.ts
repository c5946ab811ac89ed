import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectS3, type S3Objects } from './s3-client.js';
import { readS3Settings, type S3Settings, s3Address } from './settings.js';
import { sha256Hex } from './signature.js';
import { type FaultServer, startFaultServer } from './testing/fault-server.js';
import { findMoto, startMoto } from './testing/moto.js';

const settings = (endpoint: string, more: Partial<S3Settings> = {}): S3Settings => ({
  endpoint,
  region: 'us-east-1',
  bucket: 'facts',
  prefix: 'errata/',
  pathStyle: true,
  accessKeyId: 'AKIDEXAMPLE',
  secretAccessKey: 'secret-of-the-test',
  timeoutMs: 2000,
  attempts: 4,
  ...more,
});
const failure = (code: string, message: RegExp) => ({ code, message: expect.stringMatching(message) });

describe('a server that misbehaves', () => {
  let server: FaultServer;
  let objects: S3Objects;
  beforeEach(async () => {
    server = await startFaultServer();
    objects = connectS3(settings(server.url));
  });
  afterEach(async () => {
    objects.close();
    await server.stop();
  });
  const large = randomBytes(8 * 1024 * 1024);

  it('takes objects and gives them back', async () => {
    await objects.put('a/b c', large);
    expect(server.requests).toEqual(['PUT /facts/errata/a/b%20c']);
    expect((await objects.get('a/b c')).equals(large)).toBe(true);
    await objects.remove('a/b c');
    await objects.remove('a/b c');
    expect(server.objects.size).toBe(0);
    await expect(objects.get('a/b c')).rejects.toMatchObject(failure('LOG_CORRUPT', /is gone/));
  });

  it('is asked again after a connection cut in the middle of an upload, and of an answer', async () => {
    server.faults.push('cut', 'cut');
    await objects.put('x', large);
    expect(server.requests).toHaveLength(3);
    server.faults.push('cut');
    expect((await objects.get('x')).equals(large)).toBe(true);
  });

  it('is asked again through a storm of 503 and 429, and given up as not ready', async () => {
    const slow = { status: 503, code: 'SlowDown' };
    server.faults.push(slow, { status: 429, code: 'TooManyRequests' }, slow);
    await objects.put('x', Buffer.from('y'));
    expect(server.requests).toHaveLength(4);
    server.faults.push(slow, slow, slow, slow);
    await expect(objects.put('x', Buffer.from('z'))).rejects.toMatchObject(failure('NOT_READY', /SlowDown/));
    expect((await objects.get('x')).toString()).toBe('y');
  });

  it('is asked again where it does not answer in time, or is not there', async () => {
    const hasty = connectS3(settings(server.url, { timeoutMs: 300, attempts: 2 }));
    server.faults.push('hang');
    await hasty.put('x', Buffer.from('y'));
    server.faults.push('hang', 'hang');
    await expect(hasty.get('x')).rejects.toMatchObject(failure('NOT_READY', /no answer in time/));
    hasty.close();
    const nowhere = connectS3(settings('http://127.0.0.1:9', { attempts: 2 }));
    await expect(nowhere.get('x')).rejects.toMatchObject(failure('NOT_READY', /ECONNREFUSED/));
    nowhere.close();
  });

  it('has what it garbles noticed: uploads are sent again, answers are read again and then refused', async () => {
    server.faults.push('garble');
    await objects.put('x', large);
    server.faults.push('garble');
    expect((await objects.get('x')).equals(large)).toBe(true);
    server.faults.push('garble', 'garble');
    await expect(objects.get('x')).rejects.toMatchObject(failure('LOG_CORRUPT', /does not match its checksum/));
  });

  it.each([
    [{ status: 404, code: 'NoSuchBucket' }, /the bucket is not there/],
    [{ status: 400, code: 'ExpiredToken' }, /have expired/],
    [{ status: 403, code: 'InvalidAccessKeyId' }, /check credentials/],
  ])('refuses with %j once and for all, without a word of the secret', async (fault, message) => {
    for (const work of [() => objects.put('x', large), () => objects.get('x'), () => objects.remove('x')]) {
      server.faults.push(fault);
      const error = await work().catch((caught: unknown) => caught);
      expect(error).toMatchObject(failure('STORAGE_REFUSED', message));
      expect(JSON.stringify(error) + String(error)).not.toContain('secret-of-the-test');
    }
    expect(server.requests).toHaveLength(3);
    expect(server.objects.size).toBe(0);
  });

  it('is left alone once a caller has given up', async () => {
    const abort = new AbortController();
    server.faults.push('hang');
    const asked = objects.get('x', abort.signal);
    asked.catch(() => undefined);
    await expect.poll(() => server.requests.length).toBe(1);
    abort.abort();
    await expect(asked).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(server.requests).toHaveLength(1);
  });

  it('passes on what the source of an upload fails with', async () => {
    const open = () =>
      new Readable({
        read() {
          this.destroy(new Error('the file is gone'));
        },
      });
    const body = { bytes: 10, sha256: sha256Hex('0123456789'), open };
    await expect(objects.put('x', body)).rejects.toThrow('the file is gone');
  });
});

const moto = findMoto(process.env);
if (!moto) console.warn('moto_server (PyPI "moto[server]") is not installed: the test on a real S3 server is skipped');

describe.skipIf(!moto)('the S3 server of moto', () => {
  let server: Awaited<ReturnType<typeof startMoto>>;
  beforeAll(async () => {
    server = await startMoto(moto ?? '');
    await fetch(`${server.url}/facts`, { method: 'PUT' });
  }, 70_000);
  afterAll(() => server?.stop());

  it('takes, gives back and removes objects, streamed ones too', async () => {
    const objects = connectS3(settings(server.url, { timeoutMs: 20_000 }));
    const bytes = randomBytes(5 * 1024 * 1024);
    await objects.put("odd name's (1)+é", bytes);
    expect((await objects.get("odd name's (1)+é")).equals(bytes)).toBe(true);
    const body = { bytes: bytes.length, sha256: sha256Hex(bytes), open: () => Readable.from([bytes]) };
    await objects.put('streamed', body);
    expect((await objects.get('streamed')).equals(bytes)).toBe(true);
    await objects.remove('streamed');
    await objects.remove('streamed');
    await expect(objects.get('streamed')).rejects.toMatchObject(failure('LOG_CORRUPT', /is gone/));
    objects.close();
  });

  it('has no bucket of another name', async () => {
    const objects = connectS3(settings(server.url, { bucket: 'nothing', timeoutMs: 20_000 }));
    await expect(objects.put('x', Buffer.from('y'))).rejects.toMatchObject(failure('STORAGE_REFUSED', /bucket/));
    await expect(objects.get('x')).rejects.toMatchObject(failure('STORAGE_REFUSED', /bucket/));
    objects.close();
  });
});

describe('settings', () => {
  const env = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'hidden', SNAPSHOT_S3_BUCKET: 'facts' };

  it('are read from the environment, AWS where no endpoint is named', () => {
    expect(readS3Settings({ SNAPSHOT_S3_BUCKET: '' }, 'SNAPSHOT_S3_')).toBeNull();
    expect(readS3Settings({ ...env, AWS_REGION: 'eu-central-1' }, 'SNAPSHOT_S3_')).toMatchObject({
      endpoint: 'https://s3.eu-central-1.amazonaws.com',
      pathStyle: false,
      prefix: '',
      accessKeyId: 'a',
    });
    const own = { SNAPSHOT_S3_ENDPOINT: 'http://10.0.0.5:9000/', SNAPSHOT_S3_PREFIX: '/x/y/' };
    expect(readS3Settings({ ...env, ...own }, 'SNAPSHOT_S3_')).toMatchObject({
      endpoint: 'http://10.0.0.5:9000',
      pathStyle: true,
      prefix: 'x/y/',
    });
    expect(s3Address('s3://adapters/facts/monday')).toEqual({ bucket: 'adapters', prefix: 'facts/monday' });
    expect(s3Address('/tmp/x')).toBeNull();
  });

  it('are refused by name and without their values', () => {
    const wrong = { ...env, AWS_ACCESS_KEY_ID: '', SNAPSHOT_S3_ENDPOINT: 'ftp://x', SNAPSHOT_S3_PREFIX: 'a b' };
    const read = () => readS3Settings(wrong, 'SNAPSHOT_S3_');
    for (const name of ['ACCESS_KEY_ID', 'ENDPOINT', 'PREFIX']) expect(read).toThrow(`SNAPSHOT_S3_${name}`);
    expect(read).not.toThrow(/hidden/);
  });
});
