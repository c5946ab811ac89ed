import type { FixtureKind } from './types.js';

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The kind of a fixture, told from its content; null when it is none that is known. */
export function detectKind(json: unknown): FixtureKind | null {
  if (!isObject(json)) return null;
  if ('K0' in json && 'W0' in json && 'lambda_' in json) return 'rls';
  if (Array.isArray(json.prompts)) return 'model';
  if (Array.isArray(json.cases)) return 'tokenizer';
  const entries = Object.values(json).filter(isObject);
  if (entries.some((entry) => 'sha256_f32le' in entry || 'shape_rowmajor' in entry)) return 'gguf';
  return null;
}
