import { z } from 'zod';
import { type LayerDrift, streamIdSchema } from './domain.js';
import { type ProbeKind, type ProbeResults, probeResultsSchema, probeSettingsSchema } from './probes.js';

/** What a guard does when a budget is exceeded, the mildest first. */
export const guardActions = ['off', 'warn', 'pause', 'quarantine', 'rollback'] as const;
export const guardActionSchema = z.enum(guardActions).meta({ id: 'GuardAction' });
export type GuardAction = z.infer<typeof guardActionSchema>;

interface BudgetInfo {
  /** On which side of the limit the budget is exceeded. */
  readonly side: 'above' | 'below';
  /** Where it is exceeded unless told otherwise. */
  readonly limit: number;
  /** What a limit may be. */
  readonly range: readonly [least: number, most: number];
  readonly title: string;
  readonly unit: 'share' | 'count' | 'nats';
  /** The probe behind it; the drift of the layers where there is none. */
  readonly probe: ProbeKind | null;
  /** Fewer answers than this say nothing. */
  readonly leastAsked: number;
}

/** Everything that a guard can watch. Limits are the published targets of the project; divergence: see docs/monitoring.md. */
export const budgets = {
  perplexityIncrease: {
    side: 'above',
    limit: 0.15,
    range: [0, 100],
    title: 'perplexity on held-out text, over the unedited model’s',
    unit: 'share',
    probe: 'heldOut',
    leastAsked: 256,
  },
  divergence: {
    side: 'above',
    limit: 0.15,
    range: [0, 100],
    title: 'KL divergence from the unedited model on held-out text',
    unit: 'nats',
    probe: 'heldOut',
    leastAsked: 256,
  },
  retention: {
    side: 'below',
    limit: 0.9,
    range: [0, 1],
    title: 'earlier edits that are still answered',
    unit: 'share',
    probe: 'retention',
    leastAsked: 5,
  },
  neighboursKept: {
    side: 'below',
    limit: 0.8,
    range: [0, 1],
    title: 'neighbours that keep their answer',
    unit: 'share',
    probe: 'neighbours',
    leastAsked: 5,
  },
  canariesLost: {
    side: 'above',
    limit: 0,
    range: [0, 200],
    title: 'canaries lost',
    unit: 'count',
    probe: 'canaries',
    leastAsked: 1,
  },
  abilityLoss: {
    side: 'above',
    limit: 0.15,
    range: [0, 1],
    title: 'general knowledge that was lost',
    unit: 'share',
    probe: 'ability',
    leastAsked: 10,
  },
  boundShare: {
    side: 'above',
    limit: 0.9,
    range: [0, 1],
    title: 'share of the bound on ‖W − W₀‖ that is used, in the worst layer',
    unit: 'share',
    probe: null,
    leastAsked: 1,
  },
  capacityLeft: {
    side: 'below',
    limit: 0.1,
    range: [0, 1],
    title: 'freedom of the keys that is left, in the worst layer',
    unit: 'share',
    probe: null,
    leastAsked: 1,
  },
} as const satisfies Record<string, BudgetInfo>;

export type Budget = keyof typeof budgets;
export const budgetNames = Object.keys(budgets) as Budget[];
export const budgetSchema = z.enum(budgetNames as [Budget, ...Budget[]]).meta({ id: 'Budget' });

/** How a budget is made out. */
export function budgetInfo(budget: Budget): BudgetInfo {
  return budgets[budget];
}

const settingOf = (budget: Budget) => {
  const [least, most] = budgetInfo(budget).range;
  return z.strictObject({ limit: z.number().min(least).max(most), action: guardActionSchema });
};
const settingShape = Object.fromEntries(budgetNames.map((budget) => [budget, settingOf(budget)])) as Record<
  Budget,
  ReturnType<typeof settingOf>
>;

/** Name of a receiver in WEBHOOK_TARGETS. */
export const webhookNameSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, 'letters, digits, . _ - (at most 100)');

export const guardSettingsSchema = z
  .strictObject({
    budgets: z.strictObject(settingShape),
    rollbackTo: z
      .enum(['position', 'checkpoint'])
      .describe(
        'Where a rollback ends: the last position that is known to be good, or the last checkpoint up to there',
      ),
    notify: webhookNameSchema.nullable().describe('Receiver in the orchestrator’s WEBHOOK_TARGETS that is told'),
    probes: probeSettingsSchema,
  })
  .meta({ id: 'GuardSettings' });
export type GuardSettings = z.infer<typeof guardSettingsSchema>;

/** Warn, and measure within a tenth of the time of editing: what holds for a stream until somebody says otherwise. */
export const defaultGuards: GuardSettings = {
  budgets: Object.fromEntries(
    budgetNames.map((budget) => [budget, { limit: budgets[budget].limit, action: 'warn' as const }]),
  ) as GuardSettings['budgets'],
  rollbackTo: 'position',
  notify: null,
  probes: { costShare: 0.1, every: 1, edits: 16, windows: 2, ability: true },
};

export const setGuardsRequestSchema = z
  .strictObject({
    budgets: z
      .strictObject(
        Object.fromEntries(budgetNames.map((budget) => [budget, settingOf(budget).partial().optional()])) as Record<
          Budget,
          z.ZodOptional<
            z.ZodObject<{ limit: z.ZodOptional<z.ZodNumber>; action: z.ZodOptional<typeof guardActionSchema> }>
          >
        >,
      )
      .optional(),
    rollbackTo: z.enum(['position', 'checkpoint']).optional(),
    notify: webhookNameSchema.nullable().optional(),
    probes: probeSettingsSchema.partial().optional(),
  })
  .meta({ id: 'SetGuardsRequest' });
export type SetGuardsRequest = z.infer<typeof setGuardsRequestSchema>;

/** Settings with some of them changed. */
export function withGuards(settings: GuardSettings, change: SetGuardsRequest): GuardSettings {
  const merged = budgetNames.map((budget) => [budget, { ...settings.budgets[budget], ...change.budgets?.[budget] }]);
  return {
    budgets: Object.fromEntries(merged) as GuardSettings['budgets'],
    rollbackTo: change.rollbackTo ?? settings.rollbackTo,
    notify: change.notify === undefined ? settings.notify : change.notify,
    probes: { ...settings.probes, ...change.probes },
  };
}

/** A budget as it was found at one position. */
export const guardReadingSchema = z
  .object({
    budget: budgetSchema,
    side: z.enum(['above', 'below']),
    value: z.number(),
    limit: z.number(),
    action: guardActionSchema,
    seq: z.int(),
  })
  .meta({ id: 'GuardReading' });
export type GuardReading = z.infer<typeof guardReadingSchema>;

/** Whether a budget is exceeded. */
export function isExceeded({ side, value, limit }: Pick<GuardReading, 'side' | 'value' | 'limit'>): boolean {
  return side === 'above' ? value > limit : value < limit;
}

interface Counted {
  readonly asked: number;
  readonly held: number;
}

const ratio = ({ asked, held }: Counted) => held / asked;

/** One-sided 90 %: of ten samples of a stream on the edge of its limit, one is taken to be beyond. */
const deviations = 1.2816;

/** The largest share that such a sample is still likely for: Wilson's score interval (JASA 22, 1927), its upper end. */
function likelyAtMost({ asked, held }: Counted): number {
  const share = held / asked;
  const square = deviations ** 2;
  const middle = share + square / (2 * asked);
  const spread = deviations * Math.sqrt((share * (1 - share)) / asked + square / (4 * asked ** 2));
  return (middle + spread) / (1 + square / asked);
}

/**
 * The value of a budget, the mildest that the sample it rests on is likely for, and of how many answers that is; null where
 * it was not measured.
 */
function measuredValue(
  budget: Budget,
  results: ProbeResults,
  drift: readonly LayerDrift[],
): { value: number; mildest?: number; asked: number; seq: number | null } | null {
  const { heldOut, retention, neighbours, canaries, ability } = results;
  const of = (found: (Counted & { seq: number }) | undefined, value: (share: number) => number) =>
    found && found.asked > 0
      ? { value: value(ratio(found)), mildest: value(likelyAtMost(found)), asked: found.asked, seq: found.seq }
      : null;
  const worst = (pick: (layer: LayerDrift) => number | undefined, choose: (...values: number[]) => number) => {
    const values = drift.map(pick).filter((value) => value !== undefined);
    return values.length === 0 ? null : { value: choose(...values), asked: values.length, seq: null };
  };
  switch (budget) {
    case 'perplexityIncrease':
      return heldOut
        ? { value: heldOut.perplexity / heldOut.basePerplexity - 1, asked: heldOut.tokens, seq: heldOut.seq }
        : null;
    case 'divergence':
      return heldOut ? { value: heldOut.divergence, asked: heldOut.tokens, seq: heldOut.seq } : null;
    case 'retention':
      return of(retention, (share) => share);
    case 'neighboursKept':
      return of(neighbours, (share) => share);
    case 'canariesLost':
      return canaries && canaries.asked > 0
        ? { value: canaries.lost.length, asked: canaries.asked, seq: canaries.seq }
        : null;
    case 'abilityLoss':
      return of(ability, (share) => 1 - share);
    case 'boundShare':
      return worst((layer) => layer.boundShare, Math.max);
    case 'capacityLeft':
      return worst((layer) => layer.capacityLeft, Math.min);
  }
}

/**
 * What the budgets stand at, out of the newest results up to a position. Those that are off are left out, and those that
 * rest on too few answers: on next to none, or on so few that a share beyond the limit may well be chance.
 */
export function guardReadings(
  settings: GuardSettings,
  seq: number,
  results: ProbeResults,
  drift: readonly LayerDrift[],
): GuardReading[] {
  return budgetNames.flatMap((budget): GuardReading[] => {
    const { limit, action } = settings.budgets[budget];
    const { side, leastAsked } = budgetInfo(budget);
    const found = measuredValue(budget, results, drift);
    if (action === 'off' || found === null || found.asked < leastAsked || !Number.isFinite(found.value)) return [];
    const { value, mildest = value } = found;
    if (isExceeded({ side, value, limit }) && !isExceeded({ side, value: mildest, limit })) return [];
    return [{ budget, side, value, limit, action, seq: found.seq ?? seq }];
  });
}

/** Why there is no number of edits that are left. */
export const forecastReasonSchema = z.enum(['reached', 'flat', 'insufficient']);

/** How many edits are left until a budget is reached, at the present slope. */
export const forecastSchema = z
  .object({
    budget: budgetSchema,
    value: z.number().nullable().describe('Where it stands'),
    limit: z.number(),
    slope: z.number().nullable().describe('Change of the value with an edit: the median of the slopes of all pairs'),
    editsLeft: z.int().nullable(),
    reason: forecastReasonSchema.nullable().describe('Why `editsLeft` is null, or 0 where it is reached'),
    points: z.int().describe('Positions it is taken from'),
  })
  .meta({ id: 'Forecast' });
export type Forecast = z.infer<typeof forecastSchema>;

/** What the guards of a stream are set to, and where its budgets stand. */
export const guardsResponseSchema = z
  .object({ streamId: streamIdSchema, settings: guardSettingsSchema, readings: z.array(guardReadingSchema) })
  .meta({ id: 'GuardsResponse' });
export type GuardsResponse = z.infer<typeof guardsResponseSchema>;

/** What stands of a stream beside the drift of its layers. */
export const driftSummaryShape = {
  probes: probeResultsSchema.optional().describe('The newest results of the probes'),
  costShare: z.number().nullable().optional().describe('What measuring has cost over the time of editing'),
  readings: z.array(guardReadingSchema).optional().describe('Where the budgets stand'),
  forecast: z.array(forecastSchema).optional(),
};
