import type { Adapter, Checkpoint, Corpus, Edit, Stream } from '@errata/contracts';
import Table from 'cli-table3';

/** Longest cell in characters; the rest is cut off with an ellipsis. */
const cellLength = 48;

/** A table without colours, one line between head and rows. */
export function textTable(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const chars = { top: '', 'top-mid': '', 'top-left': '', 'top-right': '', bottom: '', 'bottom-mid': '' } as const;
  const rest = { 'bottom-left': '', 'bottom-right': '', left: '', 'left-mid': '', right: '', 'right-mid': '' } as const;
  const lines = { mid: '', 'mid-mid': '', middle: '  ' } as const;
  const table = new Table({
    head: [...head],
    chars: { ...chars, ...rest, ...lines },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true },
  });
  for (const row of rows) table.push(row.map((cell) => clip(String(cell))));
  return table.toString().replaceAll(/ +$/gm, '');
}

export function editsTable(edits: readonly Edit[]): string {
  if (edits.length === 0) return 'No edits.';
  const weighed = edits.some(({ importance }) => importance !== 1);
  return textTable(
    ['#', 'id', 'status', 'prompt', 'target', ...(weighed ? ['importance'] : []), 'answer', 'reason'],
    edits.map((edit) => [
      edit.ordinal,
      edit.id,
      edit.status,
      edit.prompt.replace('{}', () => edit.subject ?? '{}'),
      edit.target,
      ...(weighed ? [edit.importance] : []),
      edit.answer ?? '',
      edit.reason ?? '',
    ]),
  );
}

export function streamsTable(streams: readonly Stream[]): string {
  if (streams.length === 0) return 'No streams. Create one with: errata streams create --name facts';
  return textTable(
    ['name', 'id', 'model', 'status', 'head', 'edits'],
    streams.map((stream) => [
      stream.name,
      stream.id,
      stream.modelName,
      stream.statusDetail ? `${stream.status} (${stream.statusDetail})` : stream.status,
      stream.head,
      Object.entries(stream.counts)
        .map(([status, count]) => `${count} ${status}`)
        .join(', ') || '0',
    ]),
  );
}

/** A line each: an id is longer than a cell of a table. */
export function corporaLines(corpora: readonly Corpus[]): string {
  if (corpora.length === 0) return 'No corpora. Upload a text with: errata corpora add FILE';
  return corpora
    .map(({ name, id, bytes, streams }) => `${id}  ${name}, ${bytes} bytes, named by ${streams} streams`)
    .join('\n');
}

/** A line each. */
export function adapterLines(adapters: readonly Adapter[]): string {
  if (adapters.length === 0) return 'No adapters. Upload one with: errata adapters add FOLDER';
  return adapters
    .map(({ name, id, rank, layers, origin, streams }) => {
      const from = origin === null ? '' : `, of ${origin.name} at ${origin.seq}`;
      const changed = layers.map(({ layer }) => layer).join(', ');
      return `${id}  ${name}, rank ${rank}, layers ${changed}${from}, ${streams} streams begin with it`;
    })
    .join('\n');
}

export function checkpointsTable(checkpoints: readonly Checkpoint[]): string {
  if (checkpoints.length === 0) return 'No checkpoints. Name the head with: errata checkpoint NAME';
  return textTable(
    ['name', 'seq', 'log hash', 'created'],
    checkpoints.map(({ name, seq, hash, createdAt }) => [name, seq, hash.slice(0, 16), createdAt]),
  );
}

function clip(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ');
  return line.length > cellLength ? `${line.slice(0, cellLength - 1)}…` : line;
}
