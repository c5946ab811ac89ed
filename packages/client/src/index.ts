export type { PositionRequest } from '@errata/contracts';
export { type ClientOptions, createClient } from './client.js';
export { toNdjson } from './ndjson.js';
export type { CallOptions } from './transport.js';
export type {
  AdapterUpload,
  ChatRequest,
  CompletionRequest,
  DriftResponse,
  EditDraft,
  EditProgress,
  ErrataClient,
  KeyedOptions,
  MergeDraft,
  RevocationWait,
  RevokeDraft,
  WaitOptions,
} from './types.js';
export { isSettled } from './wait.js';
