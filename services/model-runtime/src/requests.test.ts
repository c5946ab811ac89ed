import { ErrataError } from '@errata/contracts';
import { TensorError } from '@errata/tensor';
import { expect, it } from 'vitest';
import { asRequestError } from './requests.js';

it('an engine whose device is lost is not ready, and what does not fit is said so', () => {
  const lost = asRequestError(new TensorError('DEVICE_LOST', 'the card is gone')) as ErrataError;
  expect(lost).toBeInstanceOf(ErrataError);
  expect(lost).toMatchObject({ code: 'NOT_READY', retryable: true, message: 'the card is gone' });
  const large = asRequestError(new TensorError('OUT_OF_MEMORY', 'a tensor of 4 GB')) as ErrataError;
  expect(large).toMatchObject({ code: 'OUT_OF_MEMORY', retryable: false });
  const other = new Error('else');
  expect(asRequestError(other)).toBe(other);
});
