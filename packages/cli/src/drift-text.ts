import {
  type Budget,
  budgetInfo,
  type Forecast,
  isExceeded,
  type LayerDrift,
  type ProbeResults,
  type StreamEvent,
} from '@errata/contracts';
import { textTable } from './tables.js';

/** A value of a budget as people read it. */
export function shownValue(budget: Budget, value: number): string {
  switch (budgetInfo(budget).unit) {
    case 'share':
      return `${Number((100 * value).toPrecision(3))} %`;
    case 'count':
      return String(value);
    case 'nats':
      return `${Number(value.toPrecision(3))} nats`;
  }
}

/** What a forecast says. */
export function forecastText({ editsLeft, reason, budget }: Forecast): string {
  switch (reason) {
    case null:
      return `${editsLeft} edits left`;
    case 'reached':
      return 'reached';
    case 'flat':
      return 'no trend';
    case 'insufficient':
      return budgetInfo(budget).probe === null ? 'too few batches' : 'too few measured';
  }
}

const share = (held: number, asked: number) => `${held} of ${asked}`;

/** The newest results of the probes, a line each. */
export function probeLines({ canaries, retention, neighbours, paraphrases, ability, heldOut }: ProbeResults): string[] {
  const at = (seq: number) => `(position ${seq})`;
  return [
    ...(heldOut
      ? [
          `held-out text     perplexity ${heldOut.perplexity.toFixed(2)}, unedited ${heldOut.basePerplexity.toFixed(2)}; divergence ${heldOut.divergence.toPrecision(3)} nats ${at(heldOut.seq)}`,
        ]
      : []),
    ...(retention
      ? [
          `earlier edits     ${share(retention.held, retention.asked)} still answered: ${retention.byAge.map(({ age, asked, held }) => `${age} steps ago ${share(held, asked)}`).join(', ')} ${at(retention.seq)}`,
        ]
      : []),
    ...(paraphrases
      ? [`paraphrases       ${share(paraphrases.held, paraphrases.asked)} prefer the target ${at(paraphrases.seq)}`]
      : []),
    ...(neighbours
      ? [`neighbours        ${share(neighbours.held, neighbours.asked)} keep their answer ${at(neighbours.seq)}`]
      : []),
    ...(ability
      ? [`general knowledge ${share(ability.held, ability.asked)} that the unedited model knows ${at(ability.seq)}`]
      : []),
    ...(canaries
      ? [
          `canaries          ${share(canaries.held, canaries.asked)} as expected${canaries.lost.length > 0 ? `; lost: ${canaries.lost.join(', ')}` : ''} ${at(canaries.seq)}`,
        ]
      : []),
  ];
}

/** The drift of the layers. */
export function layersTable(layers: readonly LayerDrift[]): string {
  const number = (value: number | undefined) => (value === undefined ? '' : String(Number(value.toPrecision(3))));
  const percent = (value: number | undefined) => (value === undefined ? '' : `${(100 * value).toFixed(1)} %`);
  return textTable(
    ['layer', '‖W − W₀‖', 'of its bound', 'spectral', 'on the anchor', 'along edits', 'rank', 'freedom left'],
    layers.map((layer) => [
      layer.layer,
      number(layer.deltaNorm),
      percent(layer.boundShare),
      number(layer.spectralNorm),
      number(layer.anchorDeviation),
      number(layer.editedNorm),
      `${layer.effectiveRank} of ${layer.rank}`,
      percent(layer.capacityLeft),
    ]),
  );
}

/** Where the budgets stand, and how long they last. */
export function forecastTable(forecast: readonly Forecast[]): string {
  return textTable(
    ['budget', 'stands at', 'limit', 'an edit adds', 'forecast'],
    forecast.map((one) => {
      const { side } = budgetInfo(one.budget);
      const over = one.value !== null && isExceeded({ side, value: one.value, limit: one.limit });
      return [
        one.budget,
        one.value === null ? '' : `${shownValue(one.budget, one.value)}${over ? ' EXCEEDED' : ''}`,
        shownValue(one.budget, one.limit),
        one.slope === null ? '' : one.slope.toExponential(1),
        forecastText(one),
      ];
    }),
  );
}

/** What a guard did, out of the detail of its event. */
export function guardDeed({ action, batch, head, quarantined, paused }: StreamEvent['detail']): string {
  const deeds = [
    ...(head === batch ? [] : [`went back from ${String(batch)} to ${String(head)}`]),
    ...(Number(quarantined) > 0 ? [`${String(quarantined)} edits in quarantine`] : []),
    ...(paused === true ? ['paused the stream'] : []),
  ];
  return deeds.length === 0 ? `${String(action)} only` : deeds.join(', ');
}
