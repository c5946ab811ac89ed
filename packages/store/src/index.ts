export type { ObjectStore } from './chunk-bodies.js';
export type * from './damage-types.js';
export type { StoreLogger } from './database.js';
export type * from './drift-types.js';
export type * from './garbage-types.js';
export { migrate } from './migrate.js';
export type * from './snapshot-types.js';
export { createStore, type StoreOptions } from './store.js';
export type * from './types.js';
