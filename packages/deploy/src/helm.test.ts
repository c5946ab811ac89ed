import { execFile } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { repository } from './files.js';
import { services, variablesOf } from './testing/variables.js';

const run = promisify(execFile);
const chart = fileURLToPath(new URL('deploy/helm/errata', repository));
const kubernetes = '1.31.0';
const scratch = mkdtempSync(join(tmpdir(), 'errata-helm-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function onPath(name: string): string | undefined {
  const candidates = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, name));
  return candidates.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

const helm = process.env.ERRATA_HELM ?? onPath('helm');
const validator = process.env.ERRATA_KUBERNETES_VALIDATE ?? onPath('kubernetes-validate');
if (helm === undefined)
  console.warn('no helm: the chart is not rendered; put helm on PATH or name it in ERRATA_HELM (docs/developing.md)');

interface Resource {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec?: { readonly template?: { readonly spec: PodSpec }; readonly groups?: unknown[] };
}
interface PodSpec {
  readonly automountServiceAccountToken: boolean;
  readonly securityContext: { readonly runAsNonRoot: boolean };
  readonly containers: readonly {
    readonly args: readonly [string];
    readonly env: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: object }[];
    readonly securityContext: object;
    readonly resources: { readonly requests: object; readonly limits: object };
    readonly startupProbe?: object;
    readonly readinessProbe?: object;
    readonly livenessProbe?: object;
    readonly volumeMounts?: readonly {
      readonly name: string;
      readonly mountPath: string;
      readonly readOnly?: boolean;
    }[];
  }[];
  readonly volumes?: readonly { readonly name: string; readonly persistentVolumeClaim?: object }[];
}

const values = (name: string) => join(chart, 'ci', `${name}-values.yaml`);
const render = async (name: string, ...flags: string[]) => {
  const args = ['template', 'rel', chart, '--kube-version', kubernetes, '-f', values(name), ...flags];
  return (await run(helm ?? '', args, { maxBuffer: 16 << 20 })).stdout;
};
const resources = (text: string) =>
  parseAllDocuments(text).flatMap((document) => (document.toJS() as Resource | null) ?? []);

describe.skipIf(helm === undefined).each(['small', 'full'])('the chart with %s values', (name) => {
  test('is without faults to helm lint', async () => {
    const { stdout } = await run(helm ?? '', [
      'lint',
      chart,
      '--strict',
      '--kube-version',
      kubernetes,
      '-f',
      values(name),
    ]);
    expect(stdout).toContain('0 chart(s) failed');
  });

  test.skipIf(validator === undefined)('renders what Kubernetes takes (kubernetes-validate)', async () => {
    const file = join(scratch, `${name}.yaml`);
    writeFileSync(file, await render(name));
    await run(validator ?? '', ['-k', kubernetes.replace(/\.\d+$/, ''), '--strict', '--quiet', file]);
  });

  test('every pod runs without privileges, on a read-only root, with resources and probes', async () => {
    const pods = resources(await render(name)).flatMap(({ spec }) => spec?.template?.spec ?? []);
    const started = pods.flatMap((pod) => pod.containers.map((container) => container.args[0]));
    expect(started.sort()).toEqual([...services, 'migrate', 'orchestrator', 'orchestrator'].sort());
    for (const { automountServiceAccountToken, securityContext, containers } of pods) {
      expect(automountServiceAccountToken).toBe(false);
      expect(securityContext.runAsNonRoot).toBe(true);
      for (const container of containers) {
        expect(container.securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
        expect(Object.keys(container.resources).sort()).toEqual(['limits', 'requests']);
        if (container.args[0] !== 'migrate')
          for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe'] as const)
            expect(container[probe], `${container.args[0]} ${probe}`).toBeDefined();
      }
    }
  });

  test('services are given only variables that they read, and the database by reference', async () => {
    const pods = resources(await render(name)).flatMap(({ spec }) => spec?.template?.spec ?? []);
    for (const { args, env } of pods.flatMap((pod) => pod.containers)) {
      const database = env.find((variable) => variable.name === 'DATABASE_URL');
      expect(database?.valueFrom).toHaveProperty('secretKeyRef');
      expect(database?.value).toBeUndefined();
      if (args[0] === 'migrate') continue;
      const known = variablesOf(args[0]);
      expect(
        env.map((variable) => variable.name).filter((one) => !known.has(one)),
        args[0],
      ).toEqual([]);
    }
  });
});

describe.skipIf(helm === undefined)('the chart', () => {
  test('has gateway and orchestrator find the pods of model runtimes and shard workers by DNS', async () => {
    const rendered = resources(await render('full'));
    const pods = rendered.flatMap(({ spec }) => spec?.template?.spec.containers ?? []);
    for (const service of ['gateway', 'orchestrator']) {
      const env = pods.find(({ args }) => args[0] === service)?.env ?? [];
      for (const [variable, port] of [
        ['MODEL_RUNTIME', 7441],
        ['SHARD_WORKERS', 7442],
      ] as const) {
        const name = env.find((one) => one.name === variable)?.value ?? '';
        const [, label, protocol, host] =
          /^dnssrv\+_(\w+)\._(\w+)\.([\w-]+)\.default\.svc\.cluster\.local$/.exec(name) ?? [];
        const [service] = rendered.filter(({ kind, metadata }) => kind === 'Service' && metadata.name === host);
        // Kubernetes makes SRV records of the named ports of a headless service.
        expect(service?.spec).toMatchObject({
          clusterIP: 'None',
          ports: expect.arrayContaining([expect.objectContaining({ name: label, port })]),
        });
        expect(protocol).toBe('tcp');
      }
      expect(env.find(({ name }) => name === 'SNAPSHOT_S3_SECRET_ACCESS_KEY')?.valueFrom).toHaveProperty(
        'secretKeyRef',
      );
    }
  });

  test('has a deployment for each capability, bounded by its own setting and scaled on its own queue', async () => {
    const rendered = resources(await render('full'));
    const deployed = ['streams', 'model', 'files'].map((capability) => {
      const found = rendered.find(({ kind, metadata }) => kind === 'Deployment' && metadata.name.endsWith(capability));
      const { env } = found?.spec?.template?.spec.containers[0] ?? { env: [] };
      const set = (name: string) => env.find((variable) => variable.name === name)?.value;
      return [set('ORCHESTRATOR_CAPABILITIES'), set(`${capability.toUpperCase()}_CONCURRENCY`)];
    });
    expect(deployed).toEqual([
      ['streams', '48'],
      ['model', '32'],
      ['files', '8'],
    ]);
    const scalers = rendered.filter(({ kind }) => kind === 'HorizontalPodAutoscaler');
    expect(scalers.map(({ metadata }) => metadata.name)).toEqual([
      'rel-errata-orchestrator-model',
      'rel-errata-orchestrator-files',
    ]);
    expect(JSON.stringify(scalers[0].spec)).toContain(
      JSON.stringify({
        name: 'errata_task_queue_tasks',
        selector: { matchLabels: { task_queue: 'errata-streams-model' } },
      }),
    );
  });

  test('mounts the volume of exports in what writes, reads and publishes them, and nowhere where there is none', async () => {
    const mounted = async (name: string) =>
      resources(await render(name)).flatMap(({ metadata, spec }) => {
        const pod = spec?.template?.spec;
        const mount = pod?.containers[0].volumeMounts?.find(({ mountPath }) => mountPath === '/exports');
        const env = pod?.containers[0].env.find((variable) => variable.name === 'EXPORT_DIR')?.value;
        const volume = pod?.volumes?.find((one) => one.name === mount?.name)?.persistentVolumeClaim;
        if (mount === undefined && env === undefined) return [];
        return [[metadata.name, env, mount?.readOnly ?? false, volume !== undefined]];
      });
    expect((await mounted('full')).sort()).toEqual([
      ['rel-errata-gateway', '/exports', true, true],
      ['rel-errata-model-runtime', '/exports', false, true],
      ['rel-errata-orchestrator-files', '/exports', true, true],
    ]);
    expect(await mounted('small')).toEqual([]);
    const files = resources(await render('full')).find(
      ({ kind, metadata }) => kind === 'Deployment' && metadata.name === 'rel-errata-orchestrator-files',
    );
    const targets = files?.spec?.template?.spec.containers[0].env.find(({ name }) => name === 'PUBLISH_TARGETS');
    expect(targets?.valueFrom).toHaveProperty('secretKeyRef');
  });

  test('brings rules and dashboards to where a Prometheus Operator runs', async () => {
    const rendered = resources(await render('full'));
    const rule = rendered.find((resource) => resource.kind === 'PrometheusRule');
    expect(rule?.spec?.groups?.length).toBeGreaterThan(3);
    expect(rendered.filter((resource) => resource.kind === 'ConfigMap')).toHaveLength(5);
  });

  test.each([
    ['image.repository=', 'repository'],
    ['temporal.address=http://x', 'address'],
    ['shardWorker.replicas=0', 'replicas'],
    ['shardWorker.memory=4Gi', 'memory'],
    ['database.password=secret', 'password'],
  ])('refuses %s, naming it', async (setting, named) => {
    await expect(render('small', '--set', setting)).rejects.toThrow(named);
  });
});
