import type { Checkpoint, HeadChange } from '@errata/contracts';
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { Idempotency } from './activities.js';
import type { CovarianceProgress } from './covariance-run.js';
import type { Failure, StreamSnapshot } from './stream-state.js';

/** There may be something to do: new edits, a revocation, another expiry. */
export const wakeSignal = defineSignal('wake');

/** Takes applied edits back out in one batch: from before revocations were records. */
export const revokeUpdate = defineUpdate<HeadChange, [{ editIds: string[]; reason: string | null }]>('revoke');

/** Moves the head to an earlier position. */
export const rollbackUpdate = defineUpdate<HeadChange, [{ seq: number; idempotency?: Idempotency }]>('rollback');

/** Names the present head. */
export const checkpointUpdate = defineUpdate<Checkpoint, [{ name: string }]>('checkpoint');

export const pauseUpdate = defineUpdate<void>('pause');
export const resumeUpdate = defineUpdate<void>('resume');

/** What the workflow is doing. */
export const stateQuery = defineQuery<StreamSnapshot>('state');

/** A run of `covariance` that a stream waits for has ended: well, or with the failure. */
export const covarianceSettledSignal = defineSignal<[Failure | null]>('covarianceSettled');

/** A stream waits for the covariance of some layers. */
export const joinSignal = defineSignal<[{ streamId: string; layers: number[] }]>('join');

/** How far a covariance is. */
export const covarianceQuery = defineQuery<CovarianceProgress>('progress');
