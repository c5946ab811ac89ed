import { ErrataError, webhookNameSchema } from '@errata/contracts';
import { z } from 'zod';

/** Shorter secrets can be guessed. */
const leastSecret = 16;

/** Who is told what guards do. Nothing else is ever connected to: settings of streams name it, never an address. */
export const webhookReceiverSchema = z.strictObject({
  name: webhookNameSchema,
  url: z.url({ protocol: /^https?$/ }),
  /** Key of the signature. */
  secret: z.string().min(leastSecret),
  /** The only addresses that the name of the server may resolve to. */
  addresses: z.array(z.union([z.ipv4(), z.ipv6()])).optional(),
});
export type WebhookReceiver = z.infer<typeof webhookReceiverSchema>;

/** @throws UNKNOWN_TARGET */
export function receiverOf(receivers: readonly WebhookReceiver[], name: string): WebhookReceiver {
  const found = receivers.find((receiver) => receiver.name === name);
  if (found) return found;
  const known = receivers.map((receiver) => receiver.name).join(', ') || 'none';
  throw new ErrataError('UNKNOWN_TARGET', `WEBHOOK_TARGETS names no ${JSON.stringify(name)}; it names: ${known}`);
}
