import type { EditorConfig } from '@errata/contracts';
import type { Model } from '@errata/model';
import { type EditText, locate } from './lookup.js';

/** A prompt that a key is averaged over, cut after the lookup position: nothing later can reach it. */
export interface KeyRow {
  readonly ids: readonly number[];
  /** Share in the mean: half for the bare prompt, the rest in equal parts. */
  readonly weight: number;
}

/** The prompts of an edit's key, the bare one first. */
export function keyRows(model: Model, edit: EditText, { templates }: EditorConfig): KeyRow[] {
  return templates.map((template, t) => {
    const { ids, lookup } = locate(model, template, edit);
    const weight = templates.length === 1 ? 1 : t === 0 ? 0.5 : 0.5 / (templates.length - 1);
    return { ids: ids.slice(0, lookup + 1), weight };
  });
}
