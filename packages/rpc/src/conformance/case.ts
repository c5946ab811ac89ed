import { ErrataError, type ErrorCode } from '@errata/contracts';
import type { CallLimits } from '../calls.js';
import type { ModelRuntime } from '../client.js';
import type { InfoResponse } from '../generated/errata/v1/model_runtime.js';

/** What a case of the contract is run with. */
export interface Subject {
  readonly runtime: ModelRuntime;
  readonly info: InfoResponse;
  /** EditorConfig as JSON; its layers exist. */
  readonly configJson: string;
  readonly layers: readonly number[];
  readonly clamp: number;
  readonly limits: CallLimits;
}

/** One requirement of the contract. */
export interface Case {
  readonly name: string;
  /** @throws Violation, or what the call threw */
  run(subject: Subject): Promise<void>;
}

/** A runtime that answers, but not as the contract says. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

/** @throws Violation */
export function demand(holds: boolean, otherwise: () => string): asserts holds {
  if (!holds) throw new Violation(otherwise());
}

/** Demands that a call is refused with one of these codes. @throws Violation */
export async function demandRefusal(
  what: string,
  codes: readonly ErrorCode[],
  call: () => Promise<unknown>,
): Promise<void> {
  let answer: string;
  try {
    await call();
    answer = 'it was answered';
  } catch (error) {
    if (error instanceof ErrataError && codes.includes(error.code)) return;
    answer = error instanceof ErrataError ? `it failed with ${error.code}: ${error.message}` : String(error);
  }
  throw new Violation(`${what} is to be refused with ${codes.join(' or ')}, but ${answer}`);
}

/** ‖a − b‖ / ‖b‖ */
export function relativeDifference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let difference = 0;
  let size = 0;
  for (let i = 0; i < a.length; i++) {
    difference += (a[i] - b[i]) ** 2;
    size += b[i] ** 2;
  }
  return Math.sqrt(difference / (size || 1));
}

/** Column `j` of a column-major matrix. */
export function columnOf({ rows, data }: { readonly rows: number; readonly data: Float32Array }, j: number) {
  return data.subarray(j * rows, (j + 1) * rows);
}

/** All messages of a stream. */
export async function collect<Message>(messages: AsyncIterable<Message>): Promise<Message[]> {
  const list: Message[] = [];
  for await (const message of messages) list.push(message);
  return list;
}
