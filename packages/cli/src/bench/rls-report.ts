import type { Precision } from '@errata/tensor';
import { textTable } from '../tables.js';
import { type Chart, renderChart } from './chart.js';
import type { Compared } from './comparisons.js';
import type { Provenance } from './machine.js';

/** Result of `bench rls`. Ratios are our time over theirs; null where there is nothing to compare with. */
export interface RlsBenchReport extends Provenance {
  /** Median over whole fold periods in the middle of the stream. */
  readonly msPerBatch: number;
  readonly floorMs: number;
  readonly ratioToFloor: number;
  readonly ratioToNumpy: number | null;
  readonly ratioToTorch: number | null;
  readonly lastToFirst: number;
  /** Peak resident memory of the process less that before the state was made. */
  readonly peakBytes: number;
  readonly engine: string;
  readonly engineDescription: string;
  readonly precision: Precision;
  readonly dIn: number;
  readonly dOut: number;
  readonly batch: number;
  readonly edits: number;
  readonly history: number;
  readonly seed: number;
  readonly threads: number;
  readonly foldRank: number;
  /** Batches between two folds. */
  readonly foldPeriod: number;
  /** Whole fold periods in the timed stream. */
  readonly folds: number;
  readonly matmulGflops: number;
  readonly copyGBps: number;
  readonly floor: {
    readonly computeMs: number;
    readonly memoryMs: number;
    readonly flops: number;
    readonly bytes: number;
    readonly counted: string;
  };
  readonly flatness: { readonly windowBatches: number; readonly wholePeriods: boolean };
  /** Of the state at the end of the stream, A₀, C₀ and the recorded columns included. */
  readonly stateBytes: number;
  readonly updateExtraBytes: number;
  /** Memory that one batch needs besides the state, over that of a d × d matrix. */
  readonly updateExtraShareOfC: number;
  readonly compared: readonly Compared[];
  /** Why the times are not those of the hardware that the engine is for; null where they are. */
  readonly unmeasured: string | null;
  /** Programs that wanted to run in the minute before the benchmark; well above zero, the machine was not idle. */
  readonly loadBefore: number;
  /** Milliseconds of every batch, in order. */
  readonly batchMs: readonly number[];
}

/** Load from which other programs are worth a warning. */
const BUSY = 0.7;

const names = { numpy: 'NumPy', torch: 'PyTorch' } as const;

/** The report for people. */
export function rlsText(report: RlsBenchReport): string {
  const { msPerBatch, compared, floor, flatness } = report;
  const times = (value: number | null) => (value === null ? '–' : `${value.toFixed(2)} ×`);
  const ms = (value: number) => `${shortMs(value)} ms`;
  const rows = [
    ['Errata', ms(msPerBatch), '', `${report.folds} folds in the stream`],
    [
      'floor',
      ms(report.floorMs),
      times(report.ratioToFloor),
      `arithmetic ${ms(floor.computeMs)}, memory ${ms(floor.memoryMs)}`,
    ],
    ...compared.map(({ library, msPerBatch: theirs, version, device, batches, missing }) => [
      names[library],
      theirs === null ? '–' : ms(theirs),
      times(theirs === null ? null : msPerBatch / theirs),
      missing ?? `${version} on ${device}, ${batches} batches`,
    ]),
  ];
  return [
    `${describeShape(report)} (${report.engineDescription}), ${report.threads} threads`,
    '',
    textTable(['', 'a batch', 'ours is', 'how'], rows),
    '',
    `Last to first: ${report.lastToFirst.toFixed(3)} (${flatness.windowBatches} batches at either end of ${report.history} edits${flatness.wholePeriods ? ', whole fold periods' : '; too short a stream for whole fold periods'})`,
    `Folded every ${report.foldPeriod} ${report.foldPeriod === 1 ? 'batch' : 'batches'} (rank ${report.foldRank})`,
    `Peak memory: ${gib(report.peakBytes)} GiB; one batch needs ${(100 * report.updateExtraShareOfC).toFixed(1)} % of a d × d matrix besides the state`,
    `Rates of this machine: ${report.matmulGflops.toFixed(0)} GFLOP/s, ${report.copyGBps.toFixed(1)} GB/s`,
    `Floor: ${floor.counted}`,
    ...(report.loadBefore > BUSY
      ? [
          `Other programs were running (load ${report.loadBefore.toFixed(1)}): these are not the times of an idle machine`,
        ]
      : []),
    ...(report.unmeasured === null ? [] : [`Unmeasured: ${report.unmeasured}`]),
  ].join('\n');
}

/** Milliseconds a batch along the stream, with the floor and the comparators. */
export function rlsPlot(report: RlsBenchReport): string {
  const last = report.batchMs.length * report.batch;
  const level = (name: string, ms: number, colour: number) => ({
    name: `${name} ${shortMs(ms)}`,
    points: [
      [report.batch, ms],
      [last, ms],
    ] as const,
    style: 'dashed' as const,
    colour,
  });
  const chart: Chart = {
    title: 'Cost of a batch along a stream of edits',
    subtitle: `${describeShape(report)}; ${report.machine.cores} cores`,
    xLabel: 'edits applied so far',
    yLabel: 'milliseconds a batch',
    xScale: 'linear',
    yScale: 'linear',
    series: [
      {
        name: '',
        points: report.batchMs.map((ms, i) => [(i + 1) * report.batch, ms] as const),
        style: 'dots',
        colour: 0,
      },
      level('Errata', report.msPerBatch, 0),
      level('floor', report.floorMs, 6),
      ...report.compared.flatMap(({ library, msPerBatch }, i) =>
        msPerBatch === null ? [] : [level(names[library], msPerBatch, 1 + i)],
      ),
    ],
  };
  return renderChart(chart);
}

function describeShape({ dIn, dOut, batch, precision, engine }: RlsBenchReport): string {
  return `${dIn.toLocaleString('en-US')} inputs, ${dOut.toLocaleString('en-US')} outputs, batches of ${batch}, ${precision}, ${engine} engine`;
}

function shortMs(ms: number): string {
  return ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms.toPrecision(3);
}

function gib(bytes: number): string {
  return (bytes / 2 ** 30).toFixed(2);
}
