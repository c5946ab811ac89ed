import { existsSync, readFileSync } from 'node:fs';
import { repository } from '../files.js';

/** Services of the image, each with a configuration of its own. */
export const services = ['gateway', 'orchestrator', 'model-runtime', 'shard-worker'] as const;

/**
 * Names of the environment variables that a service reads: out of the schema of its configuration, of tracing, and of
 * object storage where its process asks for that.
 */
export function variablesOf(service: string): Set<string> {
  const read = (path: string) => readFileSync(new URL(path, repository), 'utf8');
  const named = (text: string) => [...text.matchAll(/^ {2}([A-Z][A-Z0-9_]+):/gm)].map(([, name]) => name);
  const own = named(read(`services/${service}/src/config.ts`));
  // Where the process runs on a thread of its own, its main module only starts that.
  const mains = ['main', 'run'].map((name) => `services/${service}/src/${name}.ts`);
  const text = mains.filter((path) => existsSync(new URL(path, repository))).map(read);
  const [, prefix] = /readS3Settings\(process\.env, '(\w+)'/.exec(text.join('\n')) ?? [];
  const objects = prefix ? named(read('packages/objects/src/settings.ts')).map((name) => `${prefix}${name}`) : [];
  return new Set([...own, ...objects, 'OTEL_EXPORTER_OTLP_ENDPOINT']);
}
