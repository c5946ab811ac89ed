import { type EditorConfig, ErrataError } from '@errata/contracts';
import type { Model } from '@errata/model';

/** @throws ErrataError INVALID_REQUEST naming the layer that the model does not have */
export function checkLayers(model: Pick<Model, 'config'>, config: Pick<EditorConfig, 'layers'>): void {
  const { layers, name } = model.config;
  const wrong = config.layers.find((layer) => layer < 0 || layer >= layers || !Number.isInteger(layer));
  if (wrong !== undefined || config.layers.length === 0)
    throw new ErrataError(
      'INVALID_REQUEST',
      `the layers [${config.layers.join(', ')}] do not fit ${name}: name at least one, each from 0 to ${layers - 1}`,
    );
}
