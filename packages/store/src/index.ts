export type { StoreLogger } from './database.js';
export { migrate } from './migrate.js';
export { createStore, type StoreOptions } from './store.js';
export type * from './types.js';
