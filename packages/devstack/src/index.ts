export { findNvidia, judgeNvidia } from '../bootstrap/lib/nvidia.mjs';
export { locateTools, type Tools } from '../bootstrap/lib/tools.mjs';
export type { OnStackEvent, StackEvent } from './events.js';
export { defaultDataDir, type StackOptions } from './options.js';
export { type Stack, startStack } from './stack.js';
export type { ProcessState } from './supervised.js';
