export type { BatchPlan, StepSeconds, StreamActivities } from './activities.js';
export * from './definitions.js';
export { type EditStreamArgs, editStream } from './edit-stream.js';
export { evaluateStream } from './evaluate-stream.js';
export type { StreamCarry, StreamSnapshot } from './stream-state.js';
