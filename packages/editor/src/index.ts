export { KeyFinder, type KeyRequest, type Keys } from './keys.js';
export { type EditText, type LocatedPrompt, locate, locateEssence } from './lookup.js';
export { presetFor } from './presets.js';
export {
  type ResolvedTargets,
  type ResolveOptions,
  resolveTargets,
  type TargetFigures,
  type TargetProgress,
} from './targets.js';
