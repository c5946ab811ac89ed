import { ErrataError } from '@errata/contracts';
import type { Transaction } from './database.js';
import type { Prisma } from './generated/client.js';
import { assertStorable } from './text.js';
import type { Idempotency } from './types.js';

/**
 * Writes the answer to a request with an Idempotency-Key, unless one is there: then that is returned. Of two requests
 * at once, the second waits here until the first has committed or failed.
 * @returns the answer stored earlier, or null when this one was stored
 * @throws ErrataError IDEMPOTENCY_CONFLICT
 */
export async function answerOnce<T extends Prisma.InputJsonObject>(
  tx: Transaction,
  scope: string,
  { key, bodyHash }: Idempotency,
  answer: T,
): Promise<T | null> {
  assertStorable({ 'Idempotency-Key': key });
  const written = await tx.$executeRaw`
    INSERT INTO idempotency_keys (scope, key, body_hash, answer)
    VALUES (${scope}, ${key}, ${bodyHash}, ${JSON.stringify(answer)}::jsonb)
    ON CONFLICT (scope, key) DO NOTHING`;
  if (written === 1) return null;
  return findAnswer<T>(tx, scope, { key, bodyHash });
}

/** The answer stored for a key, or null. @throws ErrataError IDEMPOTENCY_CONFLICT */
export async function findAnswer<T>(tx: Transaction, scope: string, idempotency: Idempotency): Promise<T | null> {
  const { key, bodyHash } = idempotency;
  assertStorable({ 'Idempotency-Key': key });
  const stored = await tx.idempotencyKey.findUnique({ where: { scope_key: { scope, key } } });
  if (!stored) return null;
  if (stored.bodyHash !== bodyHash)
    throw new ErrataError(
      'IDEMPOTENCY_CONFLICT',
      `the Idempotency-Key ${JSON.stringify(key.slice(0, 100))} came with another body before: use a new key`,
    );
  return stored.answer as T;
}
