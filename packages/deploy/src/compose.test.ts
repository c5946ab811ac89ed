import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { repository } from './files.js';
import { services, variablesOf } from './testing/variables.js';

const folder = new URL('deploy/docker/', repository);

interface Service {
  readonly image: string;
  readonly command?: readonly string[];
  readonly restart?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly read_only?: boolean;
  readonly user?: string;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
}

const read = (file: URL) => parse(readFileSync(file, 'utf8'), { merge: true });
const compose = read(new URL('compose.yml', folder)) as { services: Record<string, Service>; volumes: object };
const all = Object.entries(compose.services);
const own = all.filter(([, service]) => service.image.includes('ERRATA_IMAGE'));
const commandOf = (service: Service) => service.command?.[0] ?? '';

test('ports are published on loopback alone', () => {
  const ports = all.flatMap(([, service]) => service.ports ?? []);
  expect(ports.length).toBeGreaterThan(0);
  for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/);
});

test('no password has a default, and the example names exactly what must be set', () => {
  const text = readFileSync(new URL('compose.yml', folder), 'utf8');
  const required = new Set([...text.matchAll(/\$\{(\w+):\?/g)].map(([, name]) => name));
  for (const [, service] of all)
    for (const [name, value] of Object.entries(service.environment ?? {}))
      if (/PASSWORD|PWD|_URL$/.test(name) && name !== 'PROMETHEUS_URL') expect(value, name).toMatch(/\$\{\w+:\?/);
  const example = readFileSync(new URL('example.env', folder), 'utf8');
  const named = [...example.matchAll(/^(\w+)=(.*)$/gm)];
  expect(new Set(named.map(([, name]) => name))).toEqual(required);
  expect(named.every(([, , value]) => value === '')).toBe(true);
});

test('every service of ours runs without privileges, on a read-only root, as another user than root', () => {
  expect(new Set(own.map(([, service]) => commandOf(service)))).toEqual(new Set([...services, 'migrate']));
  for (const [name, service] of own) {
    expect(service.read_only, name).toBe(true);
    expect(service.user, name).toBe('1000:1000');
    expect(service.cap_drop, name).toEqual(['ALL']);
    expect(service.security_opt, name).toContain('no-new-privileges:true');
  }
});

test('whatever stays up has a health check, and ours starts after the migrations', () => {
  for (const [name, service] of all)
    if (service.restart === 'unless-stopped') expect(service.healthcheck?.test.length, name).toBeGreaterThan(1);
  for (const [name, service] of own)
    if (name !== 'migrate') expect(service.depends_on?.migrate?.condition, name).toBe('service_completed_successfully');
});

test('services are given only variables that they read', () => {
  for (const [name, service] of own) {
    if (commandOf(service) === 'migrate') continue;
    const known = variablesOf(commandOf(service));
    expect(
      Object.keys(service.environment ?? {}).filter((variable) => !known.has(variable)),
      name,
    ).toEqual([]);
  }
});

test('what is mounted is there', () => {
  for (const [name, service] of all)
    for (const volume of service.volumes ?? []) {
      const source = volume.slice(0, volume.indexOf(':', volume.startsWith('${') ? volume.indexOf('}') : 0));
      if (source.startsWith('.')) expect(existsSync(new URL(source, folder)), `${name}: ${source}`).toBe(true);
      else if (!source.startsWith('${')) expect(Object.keys(compose.volumes), name).toContain(source);
    }
});

test('Prometheus scrapes every process of ours where it offers its metrics', () => {
  const config = read(new URL('deploy/prometheus/prometheus.yml', repository)) as {
    scrape_configs: { job_name: string; static_configs: { targets: string[]; labels?: { service: string } }[] }[];
  };
  const scraped = config.scrape_configs
    .filter((job) => job.job_name === 'errata')
    .flatMap((job) =>
      job.static_configs.flatMap(({ targets, labels }) => targets.map((one) => [one, labels?.service])),
    );
  const offered = own.flatMap(([name, { environment = {}, ...service }]) => {
    const port = environment.METRICS_LISTEN?.split(':')[1] ?? environment.PORT;
    return port === undefined ? [] : [[`${name}:${port}`, commandOf(service as Service)]];
  });
  expect(scraped.sort()).toEqual(offered.sort());
});
