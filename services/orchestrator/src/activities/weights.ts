import { type Edit, ErrataError, limits, type Stream } from '@errata/contracts';
import type { EditOutcome } from '@errata/store';

const largestWeight = limits.columnWeight;

type Weighed = Pick<Edit, 'id' | 'importance'>;

/**
 * What an edit of batch `seq` counts in the objective. A stream with forgetting γ weighs batch `seq` with γ^(−seq) in
 * place of weighing all before it with γ again and again: the same minimiser, and nothing recorded ever changes.
 */
export function weightOf(stream: Pick<Stream, 'config'>, seq: number, edit: Weighed): number {
  return edit.importance * growth(stream, seq);
}

/** Weights of the columns of a batch; none where all are 1. @throws ErrataError ILL_CONDITIONED above the limit */
export function weightsOf(stream: Pick<Stream, 'config'>, seq: number, edits: readonly Weighed[]): number[] {
  const weights = edits.map((edit) => weightOf(stream, seq, edit));
  const heavy = edits.find((_, i) => weights[i] > largestWeight);
  if (heavy) throw new ErrataError('ILL_CONDITIONED', `edit ${heavy.id}: ${explain(stream, seq, heavy)}`);
  return weights.every((weight) => weight === 1) ? [] : weights;
}

/** The edits of a batch that would weigh more than the limit, rejected with the reason. */
export function tooHeavy(stream: Pick<Stream, 'config'>, seq: number, edits: readonly Weighed[]): EditOutcome[] {
  return edits
    .filter((edit) => weightOf(stream, seq, edit) > largestWeight)
    .map((edit) => ({ editId: edit.id, status: 'rejected', reason: explain(stream, seq, edit) }));
}

function growth({ config }: Pick<Stream, 'config'>, seq: number): number {
  return (config.forgetting ?? 1) ** -seq;
}

function explain(stream: Pick<Stream, 'config'>, seq: number, edit: Weighed): string {
  const { forgetting } = stream.config;
  const most = largestWeight / growth(stream, seq);
  const advice = most < 0.01 ? '' : `an importance of at most ${most.toPrecision(2)}, or to `;
  return (
    `batch ${seq} would give it the weight ${weightOf(stream, seq, edit).toExponential(1)} (importance ${edit.importance}, ` +
    `forgetting ${forgetting}^−${seq}), above ${largestWeight.toExponential(0)}: send it with ${advice}a new stream, whose forgetting is nearer to 1`
  );
}
