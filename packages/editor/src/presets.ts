import { readdirSync, readFileSync } from 'node:fs';
import { type EditorConfig, ErrataError, editorConfigSchema } from '@errata/contracts';

/** What a preset is found by. Name alone, or also the shape: a preset of the same shape serves a model of another name. */
export interface PresetQuery {
  readonly name: string;
  readonly architecture?: string;
  readonly layers?: number;
  readonly hiddenSize?: number;
}

/** A preset file: the editor configuration for a model and where its figures come from. */
export interface Preset {
  /** Names it is found by, without the suffixes of variants. */
  readonly models: readonly string[];
  readonly shape: { readonly architecture: string; readonly layers: number; readonly hiddenSize: number };
  /** Whether edits were measured with it here; the others take published layers and settings over. */
  readonly verified: boolean;
  readonly source: string;
  /** Files that settings are taken from as they are, and which settings; all others were chosen here. */
  readonly published?: { readonly in: readonly string[]; readonly fields: readonly string[] };
  readonly config: EditorConfig;
}

/**
 * The editor configuration for a model, or null. Names are compared by letters and digits alone, and a longer name (a
 * quantised variant) gets the preset of the longest name it begins with; a preset of another number of layers or hidden
 * size than the model's is passed over. Where no name fits, architecture, layers and hidden size decide.
 * @throws Error naming the file when a preset is not valid
 */
export function presetFor(model: string | PresetQuery): EditorConfig | null {
  return findPreset(model)?.config ?? null;
}

/** @throws ErrataError INVALID_REQUEST with the advice to make one where there is none */
export function requirePreset(model: PresetQuery): EditorConfig {
  const preset = presetFor(model);
  if (preset) return preset;
  const shape = [
    model.architecture,
    model.layers && `${model.layers} layers`,
    model.hiddenSize && `hidden size ${model.hiddenSize}`,
  ].filter(Boolean);
  throw new ErrataError(
    'INVALID_REQUEST',
    `there is no preset for the model "${model.name}"${shape.length > 0 ? ` (${shape.join(', ')})` : ''}: make one with "errata tune"`,
  );
}

/** The whole preset that {@link presetFor} takes the configuration from, or null. */
export function findPreset(model: string | PresetQuery): Preset | null {
  const query = typeof model === 'string' ? { name: model } : model;
  const presets = readPresets().filter(({ shape }) => agrees(query, shape));
  const wanted = normalise(query.name);
  let best: { length: number; preset: Preset } | null = null;
  for (const preset of presets)
    for (const name of preset.models.map(normalise))
      if (wanted.startsWith(name) && name.length > (best?.length ?? 0)) best = { length: name.length, preset };
  if (best) return best.preset;
  const { architecture, layers, hiddenSize } = query;
  if (architecture === undefined || layers === undefined || hiddenSize === undefined) return null;
  return presets.find(({ shape }) => shape.architecture === architecture) ?? null;
}

/** Checks the content of a preset file. @throws Error naming the file and what is wrong */
export function parsePreset(file: string, text: string): Preset {
  const { models, shape, verified, source, published, config } = JSON.parse(text) as Record<string, unknown>;
  const parsed = editorConfigSchema.safeParse(config);
  if (!parsed.success) throw new Error(`preset ${file} is not valid: ${parsed.error.message}`);
  if (!Array.isArray(models) || models.length === 0 || !models.every((name) => typeof name === 'string'))
    throw new Error(`preset ${file} names no models`);
  const { architecture, layers, hiddenSize } = (shape ?? {}) as Record<string, unknown>;
  if (typeof architecture !== 'string' || typeof layers !== 'number' || typeof hiddenSize !== 'number')
    throw new Error(`preset ${file}: "shape" needs architecture, layers and hiddenSize`);
  if (typeof verified !== 'boolean' || typeof source !== 'string' || source === '')
    throw new Error(`preset ${file}: "verified" and "source" say whether and by whom it was tried`);
  const highest = Math.max(...parsed.data.layers);
  if (highest >= layers) throw new Error(`preset ${file} edits layer ${highest} of a model of ${layers}`);
  const preset = { models, shape: { architecture, layers, hiddenSize }, verified, source, config: parsed.data };
  if (published === undefined) return preset;
  const { in: files, fields } = (published ?? {}) as Record<string, unknown>;
  const isNamed = (list: unknown): list is string[] =>
    Array.isArray(list) && list.length > 0 && list.every((entry) => typeof entry === 'string' && entry !== '');
  if (!isNamed(files) || !isNamed(fields) || fields.some((field) => !(field in parsed.data)))
    throw new Error(`preset ${file}: "published" names the files ("in") and the settings of "config" taken from them`);
  return { ...preset, published: { in: files, fields } };
}

function agrees(query: PresetQuery, shape: Preset['shape']): boolean {
  return (
    (query.layers === undefined || query.layers === shape.layers) &&
    (query.hiddenSize === undefined || query.hiddenSize === shape.hiddenSize)
  );
}

function normalise(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '');
}

function readPresets(): Preset[] {
  const folder = new URL('../presets/', import.meta.url);
  return readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file) => parsePreset(file, readFileSync(new URL(file, folder), 'utf8')));
}
