export { createActivities } from './activities/index.js';
export { sweep } from './sweep.js';
