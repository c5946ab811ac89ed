import { createEngine, createMatrixEngine, TensorError } from '@errata/tensor';
import { serveJobs } from '../engine-jobs.js';

// An engine thread whose device is lost at the first fold.
serveJobs(async () => {
  const { linalg, fallbackReason } = await createEngine();
  const engine = await createMatrixEngine();
  const lossy = {
    ...engine,
    zeros: () => Promise.reject(new TensorError('DEVICE_LOST', 'the device was lost: for a test')),
  };
  return { parts: { engine: lossy, linalg }, fallbackReason };
});
