import type { EditDraft } from './types.js';

/** Edits as NDJSON, one a line. */
export function toNdjson(edits: Iterable<EditDraft>): string {
  let text = '';
  for (const edit of edits) text += `${JSON.stringify(edit)}\n`;
  return text;
}
