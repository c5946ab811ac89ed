import { ErrataError, isErrorCode } from '@errata/contracts';
import { RlsError, type RlsErrorCode } from '@errata/rls';
import { TensorError, type TensorErrorCode } from '@errata/tensor';
import type { WireError } from './engine-protocol.js';

/** An error as it travels between threads. */
export function toWire(error: unknown): WireError {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  if (error instanceof RlsError) return { kind: 'rls', code: error.code, message, stack };
  if (error instanceof TensorError) return { kind: 'tensor', code: error.code, message, stack };
  if (error instanceof ErrataError) return { kind: 'errata', code: error.code, message, stack };
  return { kind: 'other', code: '', message, stack };
}

/** The error that {@link toWire} was given, of the same class and code. */
export function fromWire({ kind, code, message, stack }: WireError): Error {
  const error = rebuild(kind, code, message);
  if (stack !== undefined) error.stack = stack;
  return error;
}

function rebuild(kind: WireError['kind'], code: string, message: string): Error {
  switch (kind) {
    case 'rls':
      return new RlsError(code as RlsErrorCode, message);
    case 'tensor':
      return new TensorError(code as TensorErrorCode, message);
    case 'errata':
      return new ErrataError(isErrorCode(code) ? code : 'INTERNAL', message);
    case 'other':
      return new Error(message);
  }
}
