export * from './lifecycle.js';
export * from './logger.js';
export * from './metrics.js';
export { sharedReading } from './shared-reading.js';
export * from './tracing.js';
