import { ErrataError } from '@errata/contracts';
import { guardedRequest } from '../publishing/guarded-request.js';
import { receiverOf } from '../webhooks/receiver.js';
import { signatureOf } from '../webhooks/signature.js';
import type { Dependencies } from './context.js';

/** A receiver takes the message down and answers; what it does with it is for later. */
const sendTimeoutMs = 20_000;
/** Answers that another try may change: too early, too many, too slow. */
const passing = [408, 425, 429];

type Parts = Pick<Dependencies, 'store' | 'receivers' | 'logger' | 'metrics'>;

/**
 * Sends a notification, signed. The same one may arrive twice: `errata-delivery` names it.
 * @throws NOT_READY, DEADLINE_EXCEEDED; WEBHOOK_REFUSED, UNKNOWN_TARGET where no further try can help
 */
export async function sendWebhook(
  { store, receivers, logger, metrics }: Parts,
  { deliveryId }: { deliveryId: string },
  attempt: number,
  signal: AbortSignal,
): Promise<void> {
  const { receiver: name, payload, status } = await store.getDelivery(deliveryId);
  if (status !== 'pending') return;
  const receiver = receiverOf(receivers, name);
  const at = Math.floor(Date.now() / 1000);
  const headers = {
    'errata-delivery': deliveryId,
    'errata-signature': signatureOf(receiver.secret, JSON.stringify(payload), at),
  };
  let detail = '';
  try {
    const call = { method: 'POST' as const, path: '', json: payload, headers, timeoutMs: sendTimeoutMs, signal };
    const answer = await guardedRequest(receiver, { ...call, refusal: 'WEBHOOK_REFUSED' });
    const said = `${answer.status} ${answer.text.replaceAll(/\s+/g, ' ').slice(0, 200)}`.trim();
    if (answer.status >= 500 || passing.includes(answer.status))
      throw new ErrataError('NOT_READY', `${name} answers ${said}`);
    if (answer.status < 200 || answer.status > 299)
      throw new ErrataError('WEBHOOK_REFUSED', `${name} answers ${said}: nothing is sent again`);
    detail = said;
  } catch (error) {
    signal.throwIfAborted();
    const message = error instanceof Error ? error.message : String(error);
    await store.updateDelivery(deliveryId, { status: 'pending', attempts: attempt, detail: message });
    throw error;
  }
  await store.updateDelivery(deliveryId, { status: 'delivered', attempts: attempt, detail });
  metrics.webhooks.inc({ outcome: 'delivered' });
  logger.info({ delivery: deliveryId, receiver: name, attempt }, 'a webhook was delivered');
}

export async function failWebhook(
  { store, logger, metrics }: Parts,
  { deliveryId, detail }: { deliveryId: string; detail: string },
): Promise<void> {
  const { attempts, receiver } = await store.getDelivery(deliveryId);
  await store.updateDelivery(deliveryId, { status: 'failed', attempts, detail });
  metrics.webhooks.inc({ outcome: 'failed' });
  logger.warn({ delivery: deliveryId, receiver, detail }, 'a webhook cannot be delivered');
}
