import type { Transaction } from './database.js';
import { Prisma } from './generated/client.js';
import { unknownPosition } from './locks.js';

/** The rows that a history has from one stream: the seqs `from` to `to`, both included. */
export interface Owner {
  readonly streamId: string;
  readonly from: number;
  readonly to: number;
}

/** Batches of one history that lie in one stream. */
export interface Part {
  readonly streamId: string;
  /** Ascending. */
  readonly seqs: number[];
}

/** Whose rows a stream is made of. */
export interface Ownership {
  /** Own rows first, the root's last; those without seqs are left out. */
  readonly owners: readonly Owner[];
  /** Where the stream branched off; 0 for one of its own. */
  readonly originSeq: number;
  /** The stream where the history begins. */
  readonly rootId: string;
}

const LARGEST_SEQ = 2 ** 31 - 1;

/**
 * A branch reads its own batches above `origin_seq` and those of its origin below, which may be a branch as well.
 * @returns null for an unknown stream
 */
export async function ownershipOf(tx: Transaction, streamId: string): Promise<Ownership | null> {
  const chain = await tx.$queryRaw<{ id: string; origin_seq: number | null }[]>`
    WITH RECURSIVE chain(id, origin_stream_id, origin_seq, depth) AS (
      SELECT id, origin_stream_id, origin_seq, 0 FROM streams WHERE id = ${streamId}
      UNION ALL
      SELECT s.id, s.origin_stream_id, s.origin_seq, c.depth + 1 FROM chain c JOIN streams s ON s.id = c.origin_stream_id)
    SELECT id, origin_seq FROM chain ORDER BY depth`;
  const [own] = chain;
  if (!own) return null;
  const owners: Owner[] = [];
  let to = LARGEST_SEQ;
  for (const { id, origin_seq } of chain) {
    const below = origin_seq ?? 0;
    if (below < to) owners.push({ streamId: id, from: below + 1, to });
    to = Math.min(to, below);
  }
  return { owners, originSeq: own.origin_seq ?? 0, rootId: chain[chain.length - 1].id };
}

/** The stream that holds the batch of a seq. @throws ErrataError UNKNOWN_POSITION */
export async function ownerOf(tx: Transaction, streamId: string, seq: number): Promise<string> {
  const ownership = await ownershipOf(tx, streamId);
  const owner = ownership?.owners.find(({ from, to }) => from <= seq && seq <= to);
  if (!owner) throw unknownPosition(streamId, seq);
  return owner.streamId;
}

/** Seqs of a history by the stream whose rows they are, the root's first. */
export function partsOf({ owners }: Ownership, seqs: readonly number[]): Part[] {
  return owners
    .map(({ streamId, from, to }) => ({ streamId, seqs: seqs.filter((seq) => from <= seq && seq <= to) }))
    .filter((part) => part.seqs.length > 0)
    .reverse();
}

/** Runs of consecutive seqs up to which a lineage is told by its runs: most have one, and every rollback adds one. */
const MOST_RUNS = 8;

/** Ascending seqs as first and last of their runs; null where there are too many. */
function runsOf(seqs: readonly number[]): [number, number][] | null {
  const runs: [number, number][] = [];
  for (const seq of seqs) {
    const last = runs.at(-1);
    if (last !== undefined && seq === last[1] + 1) last[1] = seq;
    else if (runs.push([seq, seq]) > MOST_RUNS) return null;
  }
  return runs;
}

/** SQL that is true of rows (with `stream_id` and `seq`) of the given batches. */
export function isWithin(alias: string, parts: readonly Part[]): Prisma.Sql {
  const table = Prisma.raw(alias);
  const tests = parts.map(({ streamId, seqs }) => {
    const runs = runsOf(seqs)?.map(([first, last]) => Prisma.sql`${table}.seq BETWEEN ${first} AND ${last}`);
    const within = runs ? Prisma.sql`(${Prisma.join(runs, ' OR ')})` : Prisma.sql`${table}.seq = ANY(${seqs})`;
    return Prisma.sql`(${table}.stream_id = ${streamId} AND ${within})`;
  });
  return tests.length === 0 ? Prisma.sql`false` : Prisma.sql`(${Prisma.join(tests, ' OR ')})`;
}
