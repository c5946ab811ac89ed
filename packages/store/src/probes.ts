import {
  ageBucket,
  type BatchSeconds,
  budgetNames,
  type GuardReading,
  type LayerDrift,
  type ProbeKind,
  type ProbeResults,
  type ProbeRound,
} from '@errata/contracts';
import { partsFor } from './batch-records.js';
import type { Database, Transaction } from './database.js';
import type { DriftStore, NewRound } from './drift-types.js';
import { forecastOf } from './forecast.js';
import { Prisma, type ProbeRound as RoundRow } from './generated/client.js';
import { guardsOf } from './guard-settings.js';
import { inheritanceOf, inheritedEdits } from './inherited.js';
import { lineageOf } from './lineage.js';
import { lockStream, unknownStream } from './locks.js';
import { ownerOf, ownershipOf } from './owners.js';
import { toEdit } from './rows.js';

/** Rounds that a forecast is taken from. */
const FORECAST_ROUNDS = 200;

/** The newest round at or below a position, in the history that the position is part of. */
async function roundBelow(tx: Transaction, streamId: string, seq: number): Promise<RoundRow | null> {
  const ownership = await ownershipOf(tx, streamId);
  for (const owner of ownership?.owners ?? []) {
    const row = await tx.probeRound.findFirst({
      where: { streamId: owner.streamId, seq: { gte: owner.from, lte: Math.min(owner.to, seq) } },
      orderBy: { seq: 'desc' },
    });
    if (row) return row;
  }
  return null;
}

async function totalsBefore(tx: Transaction, streamId: string, seq: number) {
  const newest = await tx.probeRound.findFirst({ where: { streamId, seq: { lt: seq } }, orderBy: { seq: 'desc' } });
  return { edit: newest?.totalEditSeconds ?? 0, probe: newest?.totalSeconds ?? 0 };
}

async function batchOf(tx: Transaction, streamId: string, seq: number) {
  const batch = await tx.batch.findUniqueOrThrow({ where: { streamId_seq: { streamId, seq } } });
  const seconds = batch.seconds as BatchSeconds | null;
  const edits = batch.kind === 'apply' ? await tx.batchEdit.count({ where: { streamId, seq } }) : 0;
  return { batch, edits, editSeconds: seconds?.total ?? 0 };
}

function costShare({ totalSeconds, totalEditSeconds }: Pick<RoundRow, 'totalSeconds' | 'totalEditSeconds'>): number {
  return totalEditSeconds === 0 ? 0 : totalSeconds / totalEditSeconds;
}

const json = (value: unknown) => value as Prisma.InputJsonObject;

export function probeRecords(
  db: Database,
): Pick<
  DriftStore,
  | 'sampleEdits'
  | 'probeLedger'
  | 'saveRound'
  | 'roundReadings'
  | 'listRounds'
  | 'batchDrift'
  | 'forecasts'
  | 'probeFigures'
> {
  return {
    async sampleEdits(streamId, seq, count) {
      if (count === 0) return [];
      const stream = await db.prisma.stream.findUnique({ where: { id: streamId } });
      if (!stream) throw unknownStream(streamId);
      const inheritance = await inheritanceOf(db.prisma, { ...stream, head: seq });
      const inherited = inheritance
        ? Prisma.sql`UNION ALL SELECT id, seq, "column" FROM (${inheritedEdits(inheritance)}) i WHERE status = 'verified' AND seq < ${seq}`
        : Prisma.empty;
      // The hash of an id is as good as a die, and falls the same way every time.
      const drawn = await db.prisma.$queryRaw<{ id: string; seq: number; column: number }[]>`
        SELECT id, seq, "column" FROM (
          SELECT id, seq, "column", row_number() OVER (PARTITION BY floor(log(greatest(1, ${seq} - seq))) ORDER BY md5(id)) AS place
          FROM (SELECT id, seq, "column" FROM edits WHERE stream_id = ${streamId} AND status = 'verified' AND adapter_id IS NULL AND seq < ${seq}
                ${inherited}) live
        ) ranked ORDER BY place, md5(id) LIMIT ${count}`;
      const rows = await db.prisma.edit.findMany({ where: { id: { in: drawn.map(({ id }) => id) } } });
      return drawn.flatMap(({ id, seq: written, column }) => {
        const row = rows.find((one) => one.id === id);
        return row && row.adapterId === null
          ? [{ edit: toEdit({ ...row, status: 'verified', seq: written, column }), age: ageBucket(seq - written) }]
          : [];
      });
    },

    async probeLedger(streamId, seq) {
      const { batch, editSeconds } = await batchOf(db.prisma, streamId, seq);
      const before = await totalsBefore(db.prisma, streamId, seq);
      const last = await roundBelow(db.prisma, streamId, batch.parentSeq);
      const newest = await db.prisma.probeRound.findFirst({
        where: { streamId, seq: { lt: seq }, NOT: { measured: { isEmpty: true } } },
        orderBy: { seq: 'desc' },
      });
      return {
        editSeconds: before.edit + editSeconds,
        batchSeconds: editSeconds,
        probeSeconds: before.probe,
        results: (last?.results ?? {}) as ProbeResults,
        costs: (newest?.costs ?? last?.costs ?? {}) as Partial<Record<ProbeKind, number>>,
        sinceRound: newest ? seq - newest.seq : Number.POSITIVE_INFINITY,
      };
    },

    saveRound: (streamId, seq, { measured, results, costs, readings, seconds }: NewRound) =>
      db.transaction(async (tx) => {
        await lockStream(tx, streamId);
        const known = await tx.probeRound.findUnique({ where: { streamId_seq: { streamId, seq } } });
        if (known) return known.readings as unknown as GuardReading[];
        const { batch, edits, editSeconds } = await batchOf(tx, streamId, seq);
        const before = await totalsBefore(tx, streamId, seq);
        const last = await roundBelow(tx, streamId, batch.parentSeq);
        await tx.probeRound.create({
          data: {
            streamId,
            seq,
            measured: [...measured],
            results: json(results),
            readings: json(readings),
            costs: json(costs),
            seconds,
            totalSeconds: before.probe + seconds,
            totalEditSeconds: before.edit + editSeconds,
            written: (last?.written ?? 0) + edits,
          },
        });
        return readings;
      }),

    async roundReadings(streamId, seq) {
      const row = await db.prisma.probeRound.findUnique({ where: { streamId_seq: { streamId, seq } } });
      return row && (row.readings as unknown as GuardReading[]);
    },

    async listRounds(streamId, limit) {
      const stream = await db.prisma.stream.findUnique({ where: { id: streamId } });
      if (!stream) throw unknownStream(streamId);
      const inherited = stream.originSeq ? await partsFor(db.prisma, streamId, stream.originSeq) : [];
      const rows = await db.prisma.probeRound.findMany({
        where: {
          OR: [{ streamId }, ...inherited.map((part) => ({ streamId: part.streamId, seq: { in: part.seqs } }))],
        },
        orderBy: { seq: 'desc' },
        take: limit,
      });
      const onHead = new Set(await lineageOf(db.prisma, streamId, stream.head));
      return rows.reverse().map(
        (row): ProbeRound => ({
          streamId: row.streamId,
          seq: row.seq,
          measured: row.measured as ProbeKind[],
          results: row.results as ProbeResults,
          seconds: row.seconds,
          costShare: costShare(row),
          tripped: row.tripped,
          onHead: onHead.has(row.seq),
          edits: row.written,
          at: row.createdAt.toISOString(),
        }),
      );
    },

    async batchDrift(streamId, seq) {
      if (seq === 0) return [];
      const owner = await ownerOf(db.prisma, streamId, seq);
      const row = await db.prisma.batch.findUnique({
        where: { streamId_seq: { streamId: owner, seq } },
        select: { drift: true },
      });
      return (row?.drift ?? []) as unknown as LayerDrift[];
    },

    async forecasts(streamId) {
      const stream = await db.prisma.stream.findUnique({ where: { id: streamId } });
      if (!stream) throw unknownStream(streamId);
      const settings = await guardsOf(db.prisma, streamId);
      const parts = stream.head === 0 ? [] : await partsFor(db.prisma, streamId, stream.head);
      const rows =
        parts.length === 0
          ? []
          : await db.prisma.probeRound.findMany({
              where: {
                OR: parts.map((part) => ({ streamId: part.streamId, seq: { in: part.seqs.slice(-FORECAST_ROUNDS) } })),
              },
              orderBy: { seq: 'asc' },
            });
      return budgetNames
        .filter((budget) => settings.budgets[budget].action !== 'off')
        .map((budget) => {
          const points = rows.flatMap((row) => {
            const readings = row.readings as unknown as GuardReading[];
            const found = readings.find((one) => one.budget === budget && one.seq === row.seq);
            return found ? [{ edits: row.written, value: found.value }] : [];
          });
          return forecastOf(budget, settings.budgets[budget].limit, points);
        });
    },

    async probeFigures() {
      const rows = await db.prisma.$queryRaw<
        {
          id: string;
          seq: number | null;
          results: ProbeResults | null;
          readings: GuardReading[] | null;
          share: number | null;
          quarantined: number;
        }[]
      >`
        SELECT s.id, r.seq, r.results, r.readings, t.share, q.quarantined
        FROM streams s
        CROSS JOIN LATERAL (SELECT count(*)::int AS quarantined FROM edits e
                            WHERE e.stream_id = s.id AND e.status = 'quarantined') q
        LEFT JOIN LATERAL (SELECT r.seq, r.results, r.readings FROM probe_rounds r
                           WHERE r.stream_id = s.id AND r.seq <= s.head ORDER BY r.seq DESC LIMIT 1) r ON true
        LEFT JOIN LATERAL (SELECT total_seconds / nullif(total_edit_seconds, 0) AS share FROM probe_rounds t
                           WHERE t.stream_id = s.id ORDER BY t.seq DESC LIMIT 1) t ON true`;
      return rows.map(({ id, seq, results, readings, share, quarantined }) => ({
        streamId: id,
        seq: seq ?? 0,
        results: results ?? {},
        readings: readings ?? [],
        costShare: share ?? 0,
        quarantined,
      }));
    },
  };
}
