import { describe, expect, it } from 'vitest';
import { amzDate, authorization, percentEncoded, sha256Hex } from './signature.js';

const empty = sha256Hex('');

// From the signature test suite that AWS publishes (aws-sig-v4-test-suite).
describe('the published test suite', () => {
  const key = {
    accessKeyId: 'AKIDEXAMPLE',
    secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
    region: 'us-east-1',
    service: 'service',
  };
  const date = '20150830T123600Z';
  const headers = { host: 'example.amazonaws.com', 'x-amz-date': date };

  it.each([
    ['get-vanilla', 'GET', {}, '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31'],
    [
      'get-vanilla-query-order-key-case',
      'GET',
      { Param2: 'value2', Param1: 'value1' },
      'b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500',
    ],
    ['post-vanilla', 'POST', {}, '5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b'],
  ])('%s', (_, method, query, signature) => {
    expect(authorization({ method, path: '/', query, headers, payloadHash: empty }, key, date)).toBe(
      `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=${signature}`,
    );
  });
});

// From "Authenticating requests: header-based" of the Amazon S3 API reference.
describe('the examples of the S3 reference', () => {
  const key = {
    accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
    secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
    region: 'us-east-1',
    service: 's3',
  };
  const date = '20130524T000000Z';
  const base = { host: 'examplebucket.s3.amazonaws.com', 'x-amz-date': date };
  const welcome = sha256Hex('Welcome to Amazon S3.');

  it.each([
    [
      'GET',
      '/test.txt',
      {},
      { range: 'bytes=0-9' },
      empty,
      'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    ],
    [
      'PUT',
      `/${percentEncoded('test$file.text')}`,
      {},
      { date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
      welcome,
      '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
    ],
    ['GET', '/', { lifecycle: '' }, {}, empty, 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543'],
    [
      'GET',
      '/',
      { 'max-keys': '2', prefix: 'J' },
      {},
      empty,
      '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
    ],
  ])('%s %s', (method, path, query, more, payloadHash, signature) => {
    const headers = { ...base, ...more, 'x-amz-content-sha256': payloadHash };
    expect(authorization({ method, path, query, headers, payloadHash }, key, date)).toContain(`Signature=${signature}`);
  });
});

it('writes moments and percent-encodes as the service does', () => {
  expect(amzDate(new Date('2015-08-30T12:36:00.123Z'))).toBe('20150830T123600Z');
  expect(percentEncoded("a/b c!*'()~é")).toBe('a%2Fb%20c%21%2A%27%28%29~%C3%A9');
});
