export { KeyFinder, type KeyRequest, type Keys } from './keys.js';
export { type EditText, type LocatedPrompt, locate, locateEssence } from './lookup.js';
export { findPreset, type Preset, type PresetQuery, parsePreset, presetFor, requirePreset } from './presets.js';
export type { TargetFigures } from './search-state.js';
export { type ResolvedTargets, type ResolveOptions, resolveTargets, type TargetProgress } from './targets.js';
