import { ActivityFailure, proxyActivities } from '@temporalio/workflow';
import type { WebhookActivities } from './activities.js';
import { failureOf } from './failure.js';

/** A receiver that is away for a day is told when it is back; after some 150 tries, about that long, it is given up. */
const { sendWebhook } = proxyActivities<WebhookActivities>({
  startToCloseTimeout: '1 minute',
  retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '10 minutes', maximumAttempts: 150 },
});
const { failWebhook } = proxyActivities<WebhookActivities>({
  startToCloseTimeout: '1 minute',
  retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '1 minute' },
});

/** Brings a notification to its receiver, however long that is away, and says so where it cannot. */
export async function deliverWebhook({ deliveryId }: { deliveryId: string }): Promise<void> {
  try {
    await sendWebhook({ deliveryId });
  } catch (error) {
    if (!(error instanceof ActivityFailure)) throw error;
    const { code, message } = failureOf(error, 'the delivery was cancelled');
    await failWebhook({ deliveryId, detail: `${code}: ${message}` });
  }
}
