import { setTimeout } from 'node:timers/promises';
import { folderOf } from '@errata/model/architecture-testing';
import { exportTo, sourceOf } from './edited.js';

// A process that exports slowly, for tests that kill it: `node export-process.js ROOT`.
const source = sourceOf(await folderOf('llama3'));
const slow = { ...source, pause: () => setTimeout(2) };
await exportTo(process.argv[2], 'killed', slow, { format: 'safetensors', shardBytes: 4000 });
