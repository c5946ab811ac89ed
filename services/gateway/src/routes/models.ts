import { ErrataError, type Model } from '@errata/contracts';
import type { GatewayDeps } from '../deps.js';

/** Time for a runtime to say which model it serves, in milliseconds. */
const infoTimeoutMs = 3000;

/** The model of that name or id, asking the runtime when the database does not know it yet. */
export async function findModel(deps: GatewayDeps, idOrName: string): Promise<Model> {
  try {
    return await deps.store.getModel(idOrName);
  } catch (error) {
    if (!(error instanceof ErrataError) || error.code !== 'UNKNOWN_MODEL') throw error;
    const failure = await registerServedModel(deps);
    if (failure !== null)
      throw new ErrataError(
        'NOT_READY',
        `The model ${JSON.stringify(idOrName)} is not known yet and the runtime does not answer: ${failure.message}`,
        { cause: failure },
      );
    return deps.store.getModel(idOrName);
  }
}

/** Makes the model that the runtime serves known. @returns why it could not, or null */
export async function registerServedModel(deps: GatewayDeps): Promise<Error | null> {
  try {
    const info = await deps.runtime.info({ timeoutMs: infoTimeoutMs });
    await deps.store.registerModel({
      id: info.modelId,
      name: info.name,
      architecture: info.architecture,
      layers: info.layers,
      hiddenSize: info.hiddenSize,
      intermediateSize: info.intermediateSize,
    });
    return null;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
