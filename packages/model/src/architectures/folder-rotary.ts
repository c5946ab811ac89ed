import type { ModelConfig } from '../config.js';
import { createRotary, type Rotary, type RotaryScaling, yarnMagnitude } from '../rotary.js';
import type { RotarySource } from './family.js';
import { type Settings, shownValue } from './settings.js';

/**
 * Rotary embedding as config.json has it: `rope_parameters` (transformers 5; one, or one for each kind of layer), or
 * `rope_theta` and `rope_scaling`.
 * @throws ModelError UNSUPPORTED_ARCHITECTURE for a scaling that is not known, FILE_MALFORMED
 */
export function folderRotary(source: RotarySource, settings: Settings, headSize: number): ModelConfig['rotary'] {
  if (source.kind === 'none') return { full: null, sliding: null };
  const all = settings.nested('rope_parameters');
  const full = all?.nested('full_attention') ?? (all?.has('sliding_attention') ? undefined : all);
  const sliding = all?.nested('sliding_attention') ?? full;
  const scaled = full ?? settings.nested('rope_scaling');
  switch (source.kind) {
    case 'dimensions': {
      const rotary = rotaryOf(settings, full, scaled, source.base, settings.count(source.dimensions), headSize);
      return { full: rotary, sliding: rotary };
    }
    case 'share':
    case 'whole': {
      const base = (from: Settings | undefined, key: string, fallback: number): number =>
        from?.has('rope_theta') ? from.number('rope_theta') : settings.number(key, fallback);
      const own = source.kind === 'share' ? settings.number(source.share, 1) : 1;
      const share = (from: Settings | undefined): number => from?.number('partial_rotary_factor', own) ?? own;
      if (source.kind === 'whole' && [settings, scaled, sliding].some((from) => (from ? shareOf(from) : 1) !== 1))
        throw settings.unsupported('partial_rotary_factor is not supported in this family');
      const rotary = rotaryOf(
        settings,
        full,
        scaled,
        base(full, source.base, source.defaultBase),
        Math.floor(headSize * share(full)),
        headSize,
      );
      if (source.kind === 'share' || (!source.localBase && sliding === full)) return { full: rotary, sliding: rotary };
      const local = source.localBase ?? { key: source.base, fallback: source.defaultBase };
      const separate = sliding !== full ? sliding : undefined;
      const localBase = base(separate, local.key, local.fallback);
      return { full: rotary, sliding: rotaryOf(settings, separate, separate, localBase, headSize, headSize) };
    }
  }
}

function shareOf(settings: Settings): number {
  return settings.number('partial_rotary_factor', 1);
}

function rotaryOf(
  settings: Settings,
  parameters: Settings | undefined,
  scaled: Settings | undefined,
  base: number,
  dimensions: number,
  headSize: number,
): Rotary {
  if (dimensions % 2 !== 0 || dimensions > headSize)
    throw settings.malformed(`${dimensions} of the ${headSize} dimensions of a head are to be rotated`);
  return createRotary(base, dimensions, scalingOf(settings, scaled ?? parameters));
}

function scalingOf(settings: Settings, scaling: Settings | undefined): RotaryScaling {
  const type = scaling?.raw('rope_type') ?? scaling?.raw('type') ?? 'default';
  if (!scaling || type === 'default') return { kind: 'none' };
  const original = (): number =>
    settings.has('original_max_position_embeddings')
      ? settings.number('original_max_position_embeddings')
      : scaling.number('original_max_position_embeddings', settings.number('max_position_embeddings'));
  switch (type) {
    case 'linear':
      return { kind: 'linear', factor: scaling.number('factor') };
    case 'llama3':
      return {
        kind: 'llama3',
        factor: scaling.number('factor'),
        lowFactor: scaling.number('low_freq_factor'),
        highFactor: scaling.number('high_freq_factor'),
        originalContext: original(),
      };
    case 'yarn': {
      const factor = scaling.number('factor', settings.number('max_position_embeddings') / original());
      const inferred =
        scaling.has('mscale') && scaling.has('mscale_all_dim')
          ? yarnMagnitude(factor, scaling.number('mscale')) / yarnMagnitude(factor, scaling.number('mscale_all_dim'))
          : yarnMagnitude(factor);
      return {
        kind: 'yarn',
        factor,
        originalContext: original(),
        betaFast: scaling.number('beta_fast', 32),
        betaSlow: scaling.number('beta_slow', 1),
        truncate: scaling.flag('truncate', true),
        magnitude: scaling.number('attention_factor', inferred),
      };
    }
    default:
      throw settings.unsupported(
        `rotary scaling ${shownValue(type)} is not supported; known are default, linear, llama3 and yarn`,
      );
  }
}
