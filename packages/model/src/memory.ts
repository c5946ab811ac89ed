import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Tf } from './types.js';

/** `tf.tidy` that keeps the type of the result: every tensor made inside is freed but those in the result. */
export function scoped<Result>(tf: Tf, body: () => Result): Result {
  return tf.tidy(body as never) as Result;
}

/** Frees all tensors found in nested objects and arrays. */
export function free(tf: Tf, ...containers: readonly unknown[]): void {
  tf.dispose(containers as never);
}

/** Frees arrays that nothing refers to any more; V8 by itself would keep a hundred megabytes of them. */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}
