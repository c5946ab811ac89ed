import { readdirSync, readFileSync } from 'node:fs';
import { type EditorConfig, editorConfigSchema } from '@errata/contracts';

interface Preset {
  readonly models: readonly string[];
  readonly config: EditorConfig;
}

/**
 * The editor configuration that was tuned for a model, or null. Names are compared by letters and digits alone, and a
 * longer name (a quantised variant) gets the preset of the longest name it begins with.
 * @throws Error naming the file when a preset is not valid
 */
export function presetFor(modelName: string): EditorConfig | null {
  const wanted = normalise(modelName);
  let best: { length: number; config: EditorConfig } | null = null;
  for (const { models, config } of readPresets())
    for (const model of models.map(normalise))
      if (wanted.startsWith(model) && model.length > (best?.length ?? 0)) best = { length: model.length, config };
  return best?.config ?? null;
}

function normalise(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '');
}

function readPresets(): Preset[] {
  const folder = new URL('../presets/', import.meta.url);
  return readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file) => {
      const { models, config } = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as Record<string, unknown>;
      const parsed = editorConfigSchema.safeParse(config);
      if (!parsed.success) throw new Error(`preset ${file} is not valid: ${parsed.error.message}`);
      if (!Array.isArray(models) || !models.every((name) => typeof name === 'string'))
        throw new Error(`preset ${file} names no models`);
      return { models, config: parsed.data };
    });
}
