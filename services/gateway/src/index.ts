export { createApp } from './app.js';
export { type GatewayConfig, readConfig } from './config.js';
export type { GatewayDeps, GatewayStore, Log, WorkflowGateway } from './deps.js';
export { createHttpMetrics } from './metrics.js';
export { listen, type RunningGateway } from './server.js';
export { exportTaskQueueMetrics } from './task-queue-metrics.js';
export { connectWorkflows, fromTemporal, type TemporalOptions } from './temporal.js';
