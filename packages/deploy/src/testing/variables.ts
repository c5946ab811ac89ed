import { readFileSync } from 'node:fs';
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
  const [, prefix] = /readS3Settings\(process\.env, '(\w+)'/.exec(read(`services/${service}/src/main.ts`)) ?? [];
  const objects = prefix ? named(read('packages/objects/src/settings.ts')).map((name) => `${prefix}${name}`) : [];
  return new Set([...own, ...objects, 'OTEL_EXPORTER_OTLP_ENDPOINT']);
}
