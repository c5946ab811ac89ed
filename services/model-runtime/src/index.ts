export { type Corpus, covarianceSequences, perplexitySequences, readCorpus } from './corpus.js';
export { createMetrics, type RuntimeMetrics } from './metrics.js';
export { createService, type ServiceParts } from './service.js';
export { StreamStates, type WeightState } from './stream-states.js';
export { WeightSnapshots } from './weight-snapshots.js';
export { WorkQueue } from './work-queue.js';
