export {
  type JointOptions,
  type ResolvedTargets,
  resolveTogether,
  type TargetProgress,
  type TargetRequest,
} from './joint-targets.js';
export type { KeyRequest, Keys } from './key-request.js';
export { KeyFinder } from './keys.js';
export { type EditText, type LocatedPrompt, locate, locateEssence } from './lookup.js';
export { findPreset, type Preset, type PresetQuery, parsePreset, presetFor, requirePreset } from './presets.js';
export { defaultSearchBytes } from './search-memory.js';
export type { TargetFigures } from './search-state.js';
export { type ResolveOptions, resolveTargets } from './targets.js';
