import type { ModelConfig } from '../config.js';
import type { Settings } from './settings.js';

/** Refuses figures that contradict each other. @throws ModelError FILE_MALFORMED */
export function checkConfig(settings: Settings, config: ModelConfig): ModelConfig {
  const { heads, keyValueHeads, headSize } = config;
  if (heads % keyValueHeads !== 0)
    throw settings.malformed(`${heads} heads cannot share ${keyValueHeads} heads of keys and values`);
  if (headSize % 2 !== 0) throw settings.malformed(`heads have the odd size ${headSize}`);
  return config;
}
