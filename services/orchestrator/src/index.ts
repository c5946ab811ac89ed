export { createActivities } from './activities/index.js';
export { sweep, taskQueue } from './sweep.js';
