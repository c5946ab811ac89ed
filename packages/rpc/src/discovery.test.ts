import dgram from 'node:dgram';
import dns from 'node:dns/promises';
import { addressListSchema, parseServerName } from '@errata/contracts';
import dnsPacket from 'dns-packet';
import { afterEach, expect, test } from 'vitest';
import { discover } from './discovery.js';
import { until } from './testing/until.js';

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp();
});

type Server = { readonly name: string; readonly port: number };

/** A DNS server (RFC 1035) that knows the SRV records of one name; this process asks it from now on. */
async function startDns(name: string, servers: readonly Server[]) {
  let answers = servers;
  const socket = dgram.createSocket('udp4');
  socket.on('message', (message, { port, address }) => {
    const { id, questions = [] } = dnsPacket.decode(message);
    const known = questions[0]?.name === name && questions[0].type === 'SRV' && answers.length > 0;
    const reply = dnsPacket.encode({
      type: 'response',
      id,
      flags: known ? 0 : 3,
      questions,
      answers: known
        ? answers.map(({ name: target, port: at }) => ({ type: 'SRV', name, ttl: 0, data: { target, port: at } }))
        : [],
    });
    socket.send(reply, port, address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const before = dns.getServers();
  dns.setServers([`127.0.0.1:${socket.address().port}`]);
  cleanUps.push(
    () => dns.setServers(before),
    () => new Promise<void>((resolve) => socket.close(() => resolve())),
  );
  return {
    answer(next: readonly Server[]) {
      answers = next;
    },
  };
}

test('follows the SRV records of a name, and keeps what it knew while there are none', async () => {
  const name = '_grpc._tcp.errata-model-runtime.ns.svc.cluster.local';
  const server = (i: number) => ({
    name: `errata-model-runtime-${i}.errata-model-runtime.ns.svc.cluster.local`,
    port: 7441,
  });
  const seen: (readonly string[])[] = [];
  const failures: string[] = [];
  const { answer } = await startDns(name, [server(1), server(0)]);
  cleanUps.push(
    discover([`dnssrv+${name}`, 'other:1'], {
      intervalMs: 10,
      onChange: (addresses) => seen.push(addresses),
      onFailure: (entry, error) => failures.push(`${entry} ${error.message}`),
    }),
  );
  expect(seen).toEqual([['other:1']]);
  const at = (i: number) => `errata-model-runtime-${i}.errata-model-runtime.ns.svc.cluster.local:7441`;
  await until(() => seen.length === 2);
  expect(seen[1]).toEqual([at(0), at(1), 'other:1']);
  answer([]);
  await until(() => failures.length > 0);
  expect(failures).toEqual([expect.stringContaining(`dnssrv+${name} querySrv ENOTFOUND`)]);
  expect(seen).toHaveLength(2);
  answer([server(1), server(2)]);
  await until(() => seen.length === 3);
  expect(seen[2]).toEqual([at(1), at(2), 'other:1']);
});

test('a host stands for all its addresses', async () => {
  const seen: (readonly string[])[] = [];
  const onFailure = () => expect.unreachable();
  cleanUps.push(discover(['dns+localhost:7441'], { intervalMs: 10, onChange: (now) => seen.push(now), onFailure }));
  await until(() => seen.length > 0);
  for (const address of seen[0]) expect(['127.0.0.1:7441', '[::1]:7441']).toContain(address);
  const resolver = { addressesOf: async () => ['10.1.0.2', 'fd00::2', '10.1.0.2'], serversOf: async () => [] };
  cleanUps.push(discover(['dns+x:1'], { intervalMs: 10, onChange: (now) => seen.push(now), onFailure, resolver }));
  await until(() => seen.length > 1);
  expect(seen.slice(1)).toEqual([['10.1.0.2:1', '[fd00::2]:1']]);
});

test('lists may name what is to be discovered', () => {
  const list = 'a:1, dns+runtimes:7441, dnssrv+_grpc._tcp.runtimes.ns.svc.cluster.local';
  expect(addressListSchema.parse(list)).toEqual(list.split(', '));
  for (const wrong of ['dns+runtimes', 'dns+runtimes:x', 'dnssrv+', 'runtimes'])
    expect(() => addressListSchema.parse(wrong)).toThrow(/dnssrv\+name/);
});

test('an entry of a list says what it means', () => {
  expect(parseServerName('a:1')).toEqual({ kind: 'address', host: 'a', port: 1 });
  expect(parseServerName('[::1]:7441')).toEqual({ kind: 'address', host: '[::1]', port: 7441 });
  expect(parseServerName('dns+runtimes:7441')).toEqual({ kind: 'host', host: 'runtimes', port: 7441 });
  expect(parseServerName('dnssrv+_grpc._tcp.x')).toEqual({ kind: 'srv', name: '_grpc._tcp.x' });
  expect(parseServerName('a')).toEqual({ kind: 'address', host: 'a', port: Number.NaN });
});
