import type { EngineProfile, Precision } from './matrix-engine.js';

/** Seconds given to each of the three figures. */
const SECONDS = 0.12;

/** What an engine runs to be measured. */
export interface Probe {
  /** One product of `flops` floating-point operations. */
  matmul(): void | Promise<void>;
  readonly flops: number;
  /** One copy that reads and writes `copied` bytes in all. */
  copy(): void | Promise<void>;
  readonly copied: number;
  /** The least operation there is. */
  small(): void | Promise<void>;
  dispose(): void;
}

/** Seconds of the fastest of the runs that fit the time, at least one after a first that does not count. */
async function fastest(run: () => void | Promise<void>): Promise<number> {
  await run();
  let best = Number.POSITIVE_INFINITY;
  const end = performance.now() + SECONDS * 1000;
  do {
    const start = performance.now();
    await run();
    best = Math.min(best, (performance.now() - start) / 1000);
  } while (performance.now() < end);
  return best;
}

/** Measures an engine once for each precision. */
export function profiler(open: (precision: Precision) => Probe): (precision: Precision) => Promise<EngineProfile> {
  const known = new Map<Precision, Promise<EngineProfile>>();
  const measure = async (precision: Precision): Promise<EngineProfile> => {
    const probe = open(precision);
    try {
      return {
        precision,
        matmulFlops: probe.flops / (await fastest(() => probe.matmul())),
        copyBytes: probe.copied / (await fastest(() => probe.copy())),
        overhead: await fastest(() => probe.small()),
      };
    } finally {
      probe.dispose();
    }
  };
  return (precision) => {
    const profile = known.get(precision) ?? measure(precision);
    known.set(precision, profile);
    return profile;
  };
}
