import type { Batch, Edit, Evaluation, LayerDrift } from '@errata/contracts';
import Table from 'cli-table3';
import { percent } from './output.js';

/** What the main job measured; the JSON line of `npm start -- --json`. Rates are 0–1. */
export interface JobReport {
  readonly edits: number;
  readonly applied: number;
  readonly rewriteBefore: number | null;
  readonly rewriteAfter: number | null;
  readonly paraphraseAfter: number | null;
  readonly neighboursKept: number | null;
  readonly perplexityBefore: number | null;
  readonly perplexityAfter: number | null;
  readonly revokeExact: boolean;
  /** Largest relative error of the weights against the fp64 closed form of the surviving edits. */
  readonly revokeError: number;
  readonly rollbackExact: boolean;
  readonly secondsPerEdit: SecondsPerEdit;
  readonly drift: readonly LayerDrift[];
  readonly streamId: string;
  readonly seconds: number;
}

export interface SecondsPerEdit {
  readonly targets: number;
  readonly keys: number;
  readonly update: number;
  readonly orchestration: number;
}

/** Time of the apply batches by step, per edit written. */
export function secondsPerEdit(batches: readonly Batch[]): SecondsPerEdit {
  const measured = batches.filter((batch) => batch.kind === 'apply' && batch.seconds !== null);
  const edits = measured.reduce((sum, batch) => sum + batch.edits, 0);
  const mean = (of: (seconds: NonNullable<Batch['seconds']>) => number) =>
    edits === 0 ? 0 : measured.reduce((sum, batch) => sum + (batch.seconds ? of(batch.seconds) : 0), 0) / edits;
  return {
    targets: mean((s) => s.targets),
    keys: mean((s) => s.keys),
    update: mean((s) => s.update),
    orchestration: mean((s) => Math.max(0, s.total - s.targets - s.keys - s.update)),
  };
}

/** One row an edit: what the model answered before and now, and how its probes fared. */
export function editTable(edits: readonly Edit[], evaluation: Evaluation, columns = 132): string {
  const table = new Table({
    head: ['prompt', 'target', 'before', 'now', 'is target', 'paraphr.', 'neighb.'],
    colWidths: columnWidths(columns),
    wordWrap: true,
    style: { head: [], border: [], compact: true },
  });
  for (const result of evaluation.edits) {
    const edit = edits.find((candidate) => candidate.id === result.editId);
    if (!edit) continue;
    const good = (outcomes: boolean[]) => `${outcomes.filter(Boolean).length}/${outcomes.length}`;
    table.push([
      edit.prompt.replace('{}', () => edit.subject ?? ''),
      edit.target,
      result.answerBefore.trim(),
      result.answerAfter.trim(),
      result.rewriteAfter ? '✓' : '✗',
      good(result.paraphrases.map((probe) => probe.success)),
      good(result.neighbours.map((probe) => probe.kept)),
    ]);
  }
  return table.toString();
}

/** Prompt and answers share what a terminal of that width leaves them; the three outcomes are narrow. */
function columnWidths(columns: number): number[] {
  const outcomes = [11, 10, 9];
  const room = Math.max(64, Math.min(columns, 160) - outcomes.reduce((sum, width) => sum + width, 0) - 8);
  const [target, answer] = [Math.floor(room * 0.17), Math.floor(room * 0.23)];
  return [room - target - 2 * answer, target, answer, answer, ...outcomes];
}

/** The figures of an evaluation, a line each. */
export function evaluationLines(evaluation: Evaluation): string[] {
  const { perplexityBefore, perplexityAfter } = evaluation;
  const rise = perplexityBefore && perplexityAfter ? perplexityAfter / perplexityBefore - 1 : null;
  return [
    `exact rewrite     ${percent(evaluation.rewriteBefore)} before, ${percent(evaluation.rewriteAfter)} now`,
    `paraphrases       ${percent(evaluation.paraphraseAfter)} prefer the target to the earlier answer`,
    `neighbours        ${percent(evaluation.neighboursKept)} keep their earlier answer`,
    `perplexity        ${perplexityBefore?.toFixed(2)} before, ${perplexityAfter?.toFixed(2)} now (${percent(rise)} up) on held-out speeches`,
  ];
}

/** Drift of the edited layers. */
export function driftTable(layers: readonly LayerDrift[]): string {
  const table = new Table({
    head: ['layer', 'rank', '‖W−W₀‖', 'bound', '‖(W−W₀)K₀‖', 'spectral', 'condition', 'information'],
    style: { head: [], border: [], compact: true },
  });
  for (const layer of layers)
    table.push([
      layer.layer,
      layer.rank,
      layer.deltaNorm.toPrecision(4),
      layer.deltaBound.toPrecision(4),
      layer.anchorDeviation.toPrecision(4),
      layer.spectralNorm.toPrecision(4),
      layer.conditionEstimate.toExponential(1),
      layer.information.toPrecision(4),
    ]);
  return table.toString();
}
