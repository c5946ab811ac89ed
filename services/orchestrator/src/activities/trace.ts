import type { SpanOptions } from '@errata/telemetry';

/**
 * The span of an activity. All activities of a batch are one trace, whichever orchestrator runs them and however often:
 * a workflow that lives as long as its stream would else be a single endless one.
 */
export function spanOf(args: unknown): SpanOptions {
  const { streamId, seq, layer } = (args ?? {}) as Readonly<Record<string, unknown>>;
  const attributes = {
    ...(typeof streamId === 'string' && { 'errata.stream': streamId }),
    ...(typeof seq === 'number' && { 'errata.seq': seq }),
    ...(typeof layer === 'number' && { 'errata.layer': layer }),
  };
  const isBatch = typeof streamId === 'string' && typeof seq === 'number';
  return { attributes, ...(isBatch && { traceName: `${streamId}/${seq}` }) };
}
