export * from './completions.js';
export * from './corpus.js';
export * from './domain.js';
export * from './editor-config.js';
export * from './errors.js';
export * from './exports.js';
export * from './http.js';
export * from './ids.js';
