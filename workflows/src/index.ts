export type {
  BatchPlan,
  CovarianceActivities,
  CovarianceArgs,
  CovarianceRunPlan,
  RepairActivities,
  SnapshotActivities,
  SnapshotArgs,
  SnapshotTaken,
  StepSeconds,
  StreamActivities,
  WebhookActivities,
  WorkPlan,
} from './activities.js';
export { covariance } from './covariance.js';
export type { CovarianceProgress } from './covariance-run.js';
export * from './definitions.js';
export { deliverWebhook } from './deliver-webhook.js';
export { type EditStreamArgs, editStream } from './edit-stream.js';
export { evaluateStream } from './evaluate-stream.js';
export type { ExportActivities, PublicationPlan } from './export-activities.js';
export { exportStream } from './export-stream.js';
export { publishStream } from './publish-stream.js';
export { repair } from './repair.js';
export { snapshot } from './snapshot.js';
export type { Failure, StreamCarry, StreamSnapshot } from './stream-state.js';
