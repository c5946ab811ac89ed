import { type BatchKind, type EditorConfig, editorConfigHash } from '@errata/contracts';
import type { Row } from './copy.js';
import type { FoundDamage } from './damage-types.js';
import type { Database } from './database.js';
import { batchHash, genesisHash } from './hash.js';
import { lineageOf } from './lineage.js';
import { unknownStream } from './locks.js';
import { damagedOfRow, entryIntact, readEntryRow, selectEntries } from './log-rows.js';
import { ownershipOf, type Part, partsOf } from './owners.js';
import type { Store, StoredLogEntry } from './types.js';

/** Batches looked at per query: bounds what is held in memory besides the one entry being hashed. */
const BATCHES_PER_QUERY = 500;

interface BatchFacts {
  readonly kind: BatchKind;
  readonly hash: string | null;
  readonly parentSeq: number;
  readonly editIds: readonly string[];
}

async function factsOf(db: Database, streamId: string, seqs: number[]): Promise<Map<number, BatchFacts>> {
  const rows = await db.prisma.batch.findMany({
    where: { streamId, seq: { in: seqs } },
    select: {
      seq: true,
      kind: true,
      hash: true,
      parentSeq: true,
      edits: { select: { editId: true }, orderBy: { column: 'asc' } },
    },
  });
  return new Map(
    rows.map(({ seq, kind, hash, parentSeq, edits }) => [
      seq,
      { kind: kind as BatchKind, hash, parentSeq, editIds: edits.map((edit) => edit.editId) },
    ]),
  );
}

/** Pieces of a lineage for one query each, in its order. */
function pages(parts: readonly Part[]): { owner: string; seqs: number[] }[] {
  return parts.flatMap(({ streamId, seqs }) =>
    Array.from({ length: Math.ceil(seqs.length / BATCHES_PER_QUERY) }, (_, page) => ({
      owner: streamId,
      seqs: seqs.slice(page * BATCHES_PER_QUERY, (page + 1) * BATCHES_PER_QUERY),
    })),
  );
}

/** What of an entry is damaged: tensors by name, or the record of their hashes, or of the entry itself. */
function damageOf(entry: StoredLogEntry, row: Row): FoundDamage[] {
  const tensors = damagedOfRow(entry, row);
  const intact = entryIntact(entry);
  if (intact && tensors.length === 0) return [];
  const { streamId, seq, layer } = entry;
  const named = intact || tensors.length === 0 ? (['record'] as const) : tensors;
  const detail = intact
    ? 'the hashes of its tensors are damaged, the tensors are not'
    : 'the bytes do not match their hash';
  return named.map((tensor) => ({ streamId, seq, layer, tensor, detail, id: '' }));
}

export function verifyRecords(db: Database): Pick<Store, 'verifyLog'> {
  return {
    async verifyLog(streamId, seq) {
      const stream = await db.prisma.stream.findUnique({ where: { id: streamId } });
      if (!stream) throw unknownStream(streamId);
      const lineage = await lineageOf(db.prisma, streamId, seq);
      const config = stream.config as unknown as EditorConfig;
      const problems: string[] = [];
      const damage: FoundDamage[] = [];
      const ownership = await ownershipOf(db.prisma, streamId);
      const genesis = genesisHash(ownership?.rootId ?? streamId, stream.modelId, editorConfigHash(config));
      if (genesis !== stream.genesisHash)
        problems.push(
          'the genesis hash does not match the id of the stream where the log begins, its model and its configuration',
        );

      let hash = stream.genesisHash;
      let entries = 0;
      let parent = 0;
      const last = new Map(config.layers.map((layer) => [layer, stream.genesisHash]));
      for (const { owner, seqs } of pages(ownership ? partsOf(ownership, lineage) : [])) {
        const facts = await factsOf(db, owner, seqs);
        const hashes = new Map<number, string[]>(seqs.map((s) => [s, []]));
        for await (const row of db.copyOut(selectEntries(owner, seqs))) {
          const entry = readEntryRow(owner, row);
          const where = `batch ${entry.seq}, layer ${entry.layer}`;
          const found = damageOf(entry, row);
          damage.push(...found);
          if (found.length > 0)
            problems.push(
              `${where}: the bytes do not match their hash (${found.map(({ tensor }) => tensor).join(', ')})`,
            );
          if (entry.previousHash !== last.get(entry.layer))
            problems.push(`${where}: does not continue the entry before it`);
          if (entry.configHash !== stream.configHash) problems.push(`${where}: was made with another configuration`);
          last.set(entry.layer, entry.hash);
          hashes.get(entry.seq)?.push(entry.hash);
          entries++;
        }
        for (const s of seqs) {
          const batch = facts.get(s);
          const own = hashes.get(s) ?? [];
          if (own.length !== config.layers.length)
            problems.push(`batch ${s}: has ${own.length} entries instead of ${config.layers.length}`);
          if (batch?.parentSeq !== parent) problems.push(`batch ${s}: its parent is not ${parent}`);
          hash = batchHash(hash, batch?.kind ?? 'apply', own, batch?.editIds ?? []);
          if (batch?.hash !== hash) problems.push(`batch ${s}: its hash does not match its parent, entries and edits`);
          // Each batch is held against what its parent claims, so that one fault is reported where it is.
          hash = batch?.hash ?? hash;
          parent = s;
        }
      }
      if (seq === stream.head && hash !== stream.headHash)
        problems.push(`the head's hash is ${stream.headHash}, the log gives ${hash}`);
      return { hash, entries, problems, damage };
    },
  };
}
