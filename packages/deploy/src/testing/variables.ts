import { readFileSync } from 'node:fs';
import { repository } from '../files.js';

/** Services of the image, each with a configuration of its own. */
export const services = ['gateway', 'orchestrator', 'model-runtime', 'shard-worker'] as const;

/** Names of the environment variables that a service reads: out of the schema of its configuration, and of tracing. */
export function variablesOf(service: string): Set<string> {
  const text = readFileSync(new URL(`services/${service}/src/config.ts`, repository), 'utf8');
  const own = [...text.matchAll(/^ {2}([A-Z][A-Z0-9_]+):/gm)].map(([, name]) => name);
  return new Set([...own, 'OTEL_EXPORTER_OTLP_ENDPOINT']);
}
