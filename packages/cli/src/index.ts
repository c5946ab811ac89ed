export { apiAddress, readStack } from './api-address.js';
export { createProgram, type ProgramIo } from './program.js';
