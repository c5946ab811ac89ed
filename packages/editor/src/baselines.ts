/** What the resolver is measured against, and the prompts it works on. */
export { resolveTargetsPlainly } from './plain-targets.js';
export { type TargetRow, targetRows } from './target-rows.js';
