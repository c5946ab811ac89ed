import type { EditorConfig } from '@errata/contracts';
import { checkTokens, continuationIds, type Model } from '@errata/model';
import { type EditText, locate, locateEssence } from './lookup.js';

/** A position whose next-token distribution enters the loss of an edit. */
export interface Watched {
  /** Offset from the lookup position. */
  readonly offset: number;
  /** The wanted token, or null where the distribution must stay what it was. */
  readonly token: number | null;
  /** Share in the loss of its edit. */
  readonly weight: number;
}

/** A prompt of the target search. */
export interface TargetRow {
  /** Index of the edit in its batch. */
  readonly edit: number;
  readonly ids: readonly number[];
  readonly lookup: number;
  readonly watched: readonly Watched[];
  /** Whether this is the bare prompt with its target. */
  readonly bare: boolean;
  /** Rows of the same number stand in the same context: its template, or none for those that keep the essence. */
  readonly context: number;
}

/**
 * Prompts of a batch: for every edit its target in each context, and one prompt that keeps the subject's essence. The
 * last token of a target is predicted, never read, so it is not part of the row.
 * @throws ModelError PROMPT_TOO_LONG, EMPTY_TOKENS
 */
export function targetRows(model: Model, edits: readonly EditText[], config: EditorConfig): TargetRow[] {
  return edits.flatMap((edit, index) => {
    const target = continuationIds(model, edit.target);
    const rows = config.templates.map((template, t): TargetRow => {
      const { ids, lookup } = locate(model, template, edit);
      const full = [...ids, ...target.slice(0, -1)];
      checkTokens(model, full.length, edit.prompt);
      const weight = 1 / target.length / config.templates.length;
      const watched = target.map((token, j) => ({ offset: ids.length - 1 + j - lookup, token, weight }));
      return { edit: index, ids: full, lookup, watched, bare: t === 0, context: t };
    });
    const { ids, lookup } = locateEssence(model, edit);
    const essence: TargetRow = {
      edit: index,
      ids,
      lookup,
      watched: [{ offset: 0, token: null, weight: config.klWeight }],
      bare: false,
      context: config.templates.length,
    };
    return [...rows, essence];
  });
}
