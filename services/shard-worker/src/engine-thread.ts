import { workerData } from 'node:worker_threads';
import { createEngine, createMatrixEngine } from '@errata/tensor';
import { serveJobs } from './engine-jobs.js';
import type { EngineChoice } from './engine-protocol.js';

const { prefer } = workerData as { readonly prefer: EngineChoice };

serveJobs(async () => {
  const { linalg, fallbackReason } = await createEngine({ prefer: prefer === 'webgpu' ? 'auto' : prefer });
  return { parts: { engine: await createMatrixEngine({ prefer }), linalg }, fallbackReason };
});
