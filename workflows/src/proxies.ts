import { proxyActivities } from '@temporalio/workflow';
import type { CovarianceActivities, StreamActivities } from './activities.js';
import { onCapability } from './capability.js';

/** Retries never end: a dependency that is down comes back, and what cannot succeed says so by its error type. */
const retry = { initialInterval: '200ms', backoffCoefficient: 2, maximumInterval: '10s' } as const;

/** Short database work. */
export const records = proxyActivities<StreamActivities>({ startToCloseTimeout: '1 minute', retry });

/** Work on the model or on shards; heartbeats tell a killed worker from a slow one. */
export const compute = onCapability<StreamActivities & CovarianceActivities>('model', {
  startToCloseTimeout: '6 hours',
  heartbeatTimeout: '30 seconds',
  retry,
});
