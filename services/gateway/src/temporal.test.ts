import { ErrataError } from '@errata/contracts';
import { ActivityFailure, ApplicationFailure, ServiceError, WorkflowUpdateFailedError } from '@temporalio/client';
import { expect, test } from 'vitest';
import { connectWorkflows, fromTemporal } from './temporal.js';

test('the failure of an update is the error it was, however deep', () => {
  const failure = ApplicationFailure.nonRetryable('the edit is queued', 'EDIT_NOT_REVOCABLE');
  const direct = fromTemporal(new WorkflowUpdateFailedError('Workflow Update failed', failure), 't:1');
  expect(direct).toMatchObject({ code: 'EDIT_NOT_REVOCABLE', message: 'the edit is queued', status: 409 });
  const nested = new ActivityFailure('failed', 'revoke', '1', 'NON_RETRYABLE_FAILURE' as never, 'x', failure);
  expect(fromTemporal(new WorkflowUpdateFailedError('failed', nested), 't:1').code).toBe('EDIT_NOT_REVOCABLE');
  const unknown = ApplicationFailure.create({ message: 'boom', type: 'TypeError' });
  expect(fromTemporal(new WorkflowUpdateFailedError('failed', unknown), 't:1')).toMatchObject({
    code: 'INTERNAL',
    message: 'boom',
  });
});

test('a server that does not answer is NOT_READY', () => {
  const error = fromTemporal(new ServiceError('Failed to signal', { cause: new Error('14 UNAVAILABLE') }), 't:1');
  expect(error).toMatchObject({ code: 'NOT_READY', message: 'Temporal at t:1 does not answer: 14 UNAVAILABLE' });
});

test('connects on first use, and says so when nobody is there', async () => {
  const workflows = connectWorkflows({ address: '127.0.0.1:9', namespace: 'default' });
  const error = await workflows.ping().catch((e: unknown) => e);
  expect(error).toBeInstanceOf(ErrataError);
  expect(error).toMatchObject({ code: 'NOT_READY', retryable: true });
  await workflows.close();
});
