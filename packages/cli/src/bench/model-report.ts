import { textTable } from '../tables.js';
import type { GenerateReport } from './generate-bench.js';
import type { KeysReport } from './keys-bench.js';
import type { MemoryReport } from './memory-bench.js';
import type { ModelBenchReport } from './model-bench.js';
import type { TargetsReport } from './targets-bench.js';

/** Load from which other programs are worth a warning. */
const BUSY = 0.7;

export function targetsText(report: TargetsReport): string {
  return framed(report, 'targets', [
    textTable(
      ['', 'seconds an edit', 'ours is'],
      [
        ...rows(report),
        ['PyTorch, plain loop', seconds(report.torchNaiveSecondsPerEdit), share(report.speedupOverTorchNaive)],
      ],
    ),
    '',
    `Largest difference of a loss at any step: ${report.maxLossDifference.toExponential(1)} to the plain loop${
      report.maxLossDifferenceToTorch === null ? '' : `, ${report.maxLossDifferenceToTorch.toExponential(1)} to PyTorch`
    }`,
    `Floor: ${seconds(report.floorSecondsPerEdit)} seconds an edit (${(report.flopsPerEdit / 1e9).toFixed(0)} GFLOP at ${(report.productFlops / 1e9).toFixed(0)} GFLOP/s); ours is ${report.ratioToFloor.toFixed(2)} ×`,
    `${report.meanSteps.toFixed(1)} steps an edit, NLL of the target ${report.meanFinalNll.toFixed(3)} at the end`,
  ]);
}

export function keysText(report: KeysReport): string {
  return framed(report, `keys of layers ${report.layers.join(', ')}`, [
    textTable(['', 'seconds an edit', 'ours is'], rows(report)),
    '',
    `Largest difference of a key's entry: ${report.maxKeyDifference.toExponential(1)} of their root mean square`,
  ]);
}

export function generateText(report: GenerateReport): string {
  const rate = (value: number | null) => (value === null ? '–' : value.toFixed(1));
  const ratio = (value: number | null) => (value === null ? '–' : `${value.toFixed(2)} ×`);
  return framed(report, `generation of ${report.tokens} tokens`, [
    textTable(
      ['tokens a second', 'Errata', 'PyTorch', 'our time is'],
      [
        [
          `${report.batch} prompts`,
          rate(report.tokensPerSecond),
          rate(report.torchTokensPerSecond),
          ratio(report.ratioToTorch),
        ],
        [
          'one prompt',
          rate(report.singleTokensPerSecond),
          rate(report.singleTorchTokensPerSecond),
          ratio(report.singleRatioToTorch),
        ],
      ],
    ),
  ]);
}

export function memoryText(report: MemoryReport): string {
  const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);
  return framed(report, `memory of a process with ${mebibytes(report.weightBytes)} MiB of weights`, [
    textTable(
      ['resident, MiB', 'at its highest', 'afterwards'],
      report.phases.map((phase) => [phase.work, mebibytes(phase.peakResidentBytes), mebibytes(phase.residentBytes)]),
    ),
    '',
  ]);
}

type Timed = ModelBenchReport & {
  readonly secondsPerEdit: number;
  readonly naiveSecondsPerEdit: number;
  readonly speedupOverNaive: number;
  readonly torchSecondsPerEdit: number | null;
};

function rows(report: Timed): string[][] {
  return [
    ['Errata', seconds(report.secondsPerEdit), ''],
    ['one edit at a time, plain', seconds(report.naiveSecondsPerEdit), share(report.speedupOverNaive)],
    ['PyTorch', seconds(report.torchSecondsPerEdit), times(report, report.torchSecondsPerEdit)],
  ];
}

function framed(report: ModelBenchReport, what: string, lines: readonly string[]): string {
  return [
    `${report.model}: ${what}, ${report.edits} edits in batches of ${report.batch} (${report.engineDescription}), ${report.threads} threads`,
    '',
    ...lines,
    `Resident memory at its highest: ${(report.peakResidentBytes / 2 ** 30).toFixed(2)} GiB; ${report.leakedTensors} tensors left over`,
    ...(report.torch.missing === null ? [] : [`PyTorch: ${report.torch.missing}`]),
    ...(report.loadBefore > BUSY
      ? [
          `Other programs were running (load ${report.loadBefore.toFixed(1)}): these are not the times of an idle machine`,
        ]
      : []),
  ].join('\n');
}

function seconds(value: number | null): string {
  return value === null ? '–' : value.toPrecision(3);
}

/** Our time over theirs, from our speed over theirs. */
function share(speedup: number | null): string {
  return speedup === null ? '–' : `${(1 / speedup).toFixed(2)} ×`;
}

function times({ secondsPerEdit }: Timed, theirs: number | null): string {
  return theirs === null ? '–' : `${(secondsPerEdit / theirs).toFixed(2)} ×`;
}
