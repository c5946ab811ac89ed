import type { DashboardSpec } from '../panels.js';
import { cost } from './cost.js';
import { fleet } from './fleet.js';
import { pipeline } from './pipeline.js';
import { streamDrift } from './stream-drift.js';
import { workers } from './workers.js';

/** All dashboards. */
export const dashboards: readonly DashboardSpec[] = [fleet, streamDrift, pipeline, workers, cost];
