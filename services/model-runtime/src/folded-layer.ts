import {
  createDelta,
  type DeltaFactors,
  disposeDelta,
  type Fold,
  foldedDelta,
  foldFrom,
  type LayerDelta,
  type Model,
  nextFold,
} from '@errata/model';
import type { StoredLogEntry } from '@errata/store';

/**
 * Columns after which a layer's change is multiplied out. Where along a lineage that happens, and in which order what is
 * added, follows from the lineage alone: replayed or taken from a snapshot, a state has the same bits.
 */
export const foldColumns = 128;
/** Folds kept of a layer: a rollback by a few batches finds the one before. */
const keptFolds = 2;
/** Columns kept beside those after the last fold: of staged batches that were given up, of lineages gone back from. */
const keptColumns = 4 * foldColumns;
/** Batches read from the log at once. */
const readAtOnce = 64;

export type Factors = Pick<StoredLogEntry, 'g' | 'b'>;

/** Something on the engine with those that use it: freed when it is dropped and nobody does. */
export class Shared<Value> {
  #holders = 0;
  #dropped = false;

  constructor(
    readonly value: Value,
    private readonly free: (value: Value) => void,
  ) {}

  /** @returns what lets it go again */
  hold(): () => void {
    this.#holders++;
    return () => {
      if (--this.#holders === 0 && this.#dropped) this.free(this.value);
    };
  }

  drop(): void {
    this.#dropped = true;
    if (this.#holders === 0) this.free(this.value);
  }
}

/** The change of a layer by the first `count` batches of a lineage, of which `seq` is the last. */
export interface LayerFold {
  readonly count: number;
  readonly seq: number;
  readonly fold: Shared<Fold>;
}

/** The change of one layer of one stream at the end of a lineage: the last fold, and the columns after it. */
export class FoldedLayer {
  /** The latest used last, by seq. An entry of the log never changes. */
  #entries = new Map<number, Factors>();
  /** Of growing count, along one lineage or several. */
  #folds: LayerFold[] = [];
  #seqs: readonly number[] = [];
  #change: Shared<LayerDelta> | undefined;

  constructor(
    private readonly model: Model,
    private readonly layer: number,
  ) {}

  get change(): Shared<LayerDelta> | undefined {
    return this.#change;
  }

  get bytes(): number {
    const { hiddenSize, intermediateSize } = this.model.config;
    let bytes = this.#folds.length * 4 * hiddenSize * intermediateSize;
    for (const { g, b } of this.#entries.values()) bytes += g.data.byteLength + b.data.byteLength;
    return bytes;
  }

  /** The latest fold held that a lineage has. A seq has one place in the tree: equal ones have the same batches below. */
  foldOf(lineage: readonly number[]): LayerFold | undefined {
    const along = this.#folds.filter(({ count, seq }) => lineage[count - 1] === seq);
    return along.reduce<LayerFold | undefined>(
      (best, fold) => (fold.count > (best?.count ?? 0) ? fold : best),
      undefined,
    );
  }

  /** Batches of a lineage that would have to be read. */
  missing(lineage: readonly number[]): number {
    const from = this.foldOf(lineage)?.count ?? 0;
    return lineage.slice(from).filter((seq) => !this.#entries.has(seq)).length;
  }

  /**
   * Goes to the end of a lineage, from the latest fold there is.
   * @returns how many entries were read
   */
  async follow(
    lineage: readonly number[],
    read: (seqs: readonly number[]) => Promise<readonly Factors[]>,
  ): Promise<number> {
    const settled = this.#change !== undefined || lineage.length === 0;
    if (settled && lineage.join() === this.#seqs.join()) return 0;
    let fold = this.foldOf(lineage);
    let entriesRead = 0;
    let block = new Map<number, Factors>();
    let columns = 0;
    for (let at = fold?.count ?? 0; at < lineage.length; at += readAtOnce) {
      const seqs = lineage.slice(at, at + readAtOnce);
      const unread = seqs.filter((seq) => !this.#entries.has(seq));
      const found = unread.length === 0 ? [] : await read(unread);
      entriesRead += unread.length;
      const fresh = new Map(unread.map((seq, i) => [seq, found[i]]));
      for (const [i, seq] of seqs.entries()) {
        const factors = fresh.get(seq) ?? (this.#entries.get(seq) as Factors);
        block.set(seq, factors);
        columns += factors.g.columns;
        if (columns < foldColumns) continue;
        const next = nextFold(this.model, fold?.fold.value, joined([...block.values()], columns));
        fold = { count: at + i + 1, seq, fold: new Shared(next, (value) => value.dispose()) };
        this.#keep(fold);
        block = new Map();
        columns = 0;
      }
    }
    this.#remember(block);
    this.#compose(lineage, fold, joined([...block.values()], columns));
    return entriesRead;
  }

  /** Takes a fold that was made elsewhere. @param data row-major */
  adopt(count: number, seq: number, data: Float32Array): void {
    this.#keep({ count, seq, fold: new Shared(foldFrom(this.model, data), (value) => value.dispose()) });
  }

  dispose(): void {
    for (const { fold } of this.#folds) fold.drop();
    this.#folds = [];
    this.#entries.clear();
    this.#change?.drop();
    this.#change = undefined;
    this.#seqs = [];
  }

  /** The oldest kept are those that were made first: they may belong to a lineage that was left. */
  #keep(fold: LayerFold): void {
    this.#folds.push(fold);
    while (this.#folds.length > keptFolds) this.#folds.shift()?.fold.drop();
  }

  #remember(used: ReadonlyMap<number, Factors>): void {
    const others = [...this.#entries].filter(([seq]) => !used.has(seq));
    let columns = others.reduce((sum, [, { g }]) => sum + g.columns, 0);
    while (columns > keptColumns) columns -= others.shift()?.[1].g.columns ?? 0;
    this.#entries = new Map([...others, ...used]);
  }

  #compose(lineage: readonly number[], fold: LayerFold | undefined, factors: DeltaFactors): void {
    this.#change?.drop();
    this.#change = undefined;
    const delta = fold
      ? foldedDelta(this.model, this.layer, fold.fold.value, factors)
      : createDelta(this.model, this.layer, factors);
    this.#change = delta && new Shared(delta, disposeDelta);
    this.#seqs = lineage;
  }
}

/** Factors side by side. */
function joined(list: readonly Factors[], rank: number): DeltaFactors {
  const left = new Float32Array(list.reduce((sum, { b }) => sum + b.data.length, 0));
  const right = new Float32Array(list.reduce((sum, { g }) => sum + g.data.length, 0));
  let [l, r] = [0, 0];
  for (const { g, b } of list) {
    left.set(b.data, l);
    right.set(g.data, r);
    l += b.data.length;
    r += g.data.length;
  }
  return { rank, left, right };
}
