import { ErrataError } from '@errata/contracts';
import type { Model } from '@errata/model';
import { joinSizes, type SearchSize, searchBytes, sizeOf } from './search-memory.js';
import { sharedLengths } from './shared-prefixes.js';
import type { TargetRow } from './target-rows.js';

/** One edit of one of several requests, with its rows. */
export interface PlannedEdit {
  readonly request: number;
  readonly edit: number;
  readonly rows: readonly TargetRow[];
  readonly size: SearchSize;
}

/**
 * The edits of a request for a plan.
 * @param from the layer above the last edited one
 * @throws ErrataError OUT_OF_MEMORY naming an edit that does not fit even alone
 */
export function plannedEdits(
  model: Model,
  {
    request,
    rows,
    from,
    memoryBytes,
  }: { request: number; rows: readonly TargetRow[]; from: number; memoryBytes: number },
): PlannedEdit[] {
  const shared = sharedLengths(rows);
  const byEdit = new Map<number, { rows: TargetRow[]; shared: number[] }>();
  rows.forEach((row, r) => {
    const own = byEdit.get(row.edit) ?? { rows: [], shared: [] };
    own.rows.push(row);
    own.shared.push(shared[r]);
    byEdit.set(row.edit, own);
  });
  return [...byEdit].map(([edit, own]) => {
    const size = sizeOf(own.rows, own.shared);
    const bytes = searchBytes(model, size, from);
    if (bytes > memoryBytes)
      throw new ErrataError(
        'OUT_OF_MEMORY',
        `the target search of edit ${edit} of the request (${own.rows.length} prompts of up to ${size.longestRow} tokens) needs about ${bytes} bytes and may take ${memoryBytes}: shorten its prompt or target, or give the runtime more (RUNTIME_MEMORY_BYTES)`,
      );
    return { request, edit, rows: own.rows, size };
  });
}

/**
 * Divides edits into searches that fit the memory: all in one where that is possible, else request by request, those of
 * similar length together, so that few tokens are padding.
 */
export function planSearches(
  model: Model,
  edits: readonly PlannedEdit[],
  { from, memoryBytes }: { from: number; memoryBytes: number },
): PlannedEdit[][] {
  const fits = (size: SearchSize): boolean => searchBytes(model, size, from) <= memoryBytes;
  if (edits.length === 0) return [];
  if (fits(edits.map(({ size }) => size).reduce(joinSizes))) return [[...edits]];
  const ordered = [...edits].sort((a, b) => a.request - b.request || a.size.longestSuffix - b.size.longestSuffix);
  const searches: { edits: PlannedEdit[]; size: SearchSize }[] = [];
  for (const edit of ordered) {
    const open = searches.at(-1);
    const joined = open && joinSizes(open.size, edit.size);
    if (open && joined && fits(joined)) {
      open.edits.push(edit);
      open.size = joined;
    } else searches.push({ edits: [edit], size: edit.size });
  }
  return searches.map((search) => search.edits.sort((a, b) => a.request - b.request || a.edit - b.edit));
}
