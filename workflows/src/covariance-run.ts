/** How far a run of `covariance` is. */
export interface CovarianceProgress {
  /** Layers that are computed now. */
  readonly layers: readonly number[];
  readonly slices: number;
  readonly slicesDone: number;
  /** Streams that wait. */
  readonly streams: readonly string[];
}

/** Who waits for which layers of a covariance, apart from Temporal so that it can be tested alone. */
export class CovarianceRun {
  private readonly waiting = new Map<string, readonly number[]>();
  private readonly done = new Set<number>();
  private layers: readonly number[] = [];
  private slices = 0;
  private slicesDone = 0;

  join(streamId: string, layers: readonly number[]): void {
    this.waiting.set(streamId, [...new Set([...(this.waiting.get(streamId) ?? []), ...layers])]);
  }

  get streams(): string[] {
    return [...this.waiting.keys()];
  }

  /** Layers that somebody waits for, ascending: those to compute next. */
  wanted(): number[] {
    const layers = new Set([...this.waiting.values()].flat().filter((layer) => !this.done.has(layer)));
    return [...layers].sort((a, b) => a - b);
  }

  begin(layers: readonly number[], slices: number): void {
    this.layers = layers;
    this.slices = slices;
    this.slicesDone = 0;
  }

  advance(slicesDone: number): void {
    this.slicesDone = slicesDone;
  }

  /** Whether there are slices left of what was begun. */
  get unfinished(): boolean {
    return this.slicesDone < this.slices;
  }

  finish(): void {
    for (const layer of this.layers) this.done.add(layer);
    this.layers = [];
  }

  /** Streams that have all they wait for; they wait no longer. */
  takeSatisfied(): string[] {
    return this.take((layers) => layers.every((layer) => this.done.has(layer)));
  }

  /** Everybody who still waits. */
  takeAll(): string[] {
    return this.take(() => true);
  }

  progress(): CovarianceProgress {
    return { layers: this.layers, slices: this.slices, slicesDone: this.slicesDone, streams: this.streams };
  }

  private take(which: (layers: readonly number[]) => boolean): string[] {
    const taken = [...this.waiting].filter(([, layers]) => which(layers)).map(([streamId]) => streamId);
    for (const streamId of taken) this.waiting.delete(streamId);
    return taken;
  }
}
