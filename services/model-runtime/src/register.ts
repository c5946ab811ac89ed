import { setTimeout as sleep } from 'node:timers/promises';
import { toErrataError } from '@errata/contracts';
import type { Model } from '@errata/model';
import type { Store } from '@errata/store';
import type { Logger } from '@errata/telemetry';

/** How long a database that is still starting is waited for, in milliseconds. */
const patienceMs = 60_000;
const retryMs = 500;

/** Makes the model known to the others. @throws NOT_READY when the database stays away */
export async function register(
  store: Pick<Store, 'registerModel'>,
  model: Model,
  name: string,
  logger: Logger,
): Promise<void> {
  const { architecture, layers, hiddenSize, intermediateSize } = model.config;
  const record = { id: model.id, name, architecture, layers, hiddenSize, intermediateSize };
  const deadline = Date.now() + patienceMs;
  for (;;) {
    try {
      await store.registerModel(record);
      return;
    } catch (error) {
      const known = toErrataError(error);
      if (known.code !== 'NOT_READY' || Date.now() > deadline) throw known;
      logger.warn({ reason: known.message }, 'waiting for the database');
      await sleep(retryMs);
    }
  }
}
