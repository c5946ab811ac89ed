/** From pairs of token ids to a number ≥ 0: open addressing, since vocabularies have up to a million pairs. */
export class PairTable {
  readonly #mask: number;
  readonly #lefts: Int32Array;
  readonly #rights: Int32Array;
  readonly #values: Int32Array;

  /** Room for so many pairs. */
  constructor(count: number) {
    let size = 8;
    while (size < 2 * count) size *= 2;
    this.#mask = size - 1;
    this.#lefts = new Int32Array(size);
    this.#rights = new Int32Array(size);
    this.#values = new Int32Array(size).fill(-1);
  }

  /** Sets the number of a pair. */
  add(left: number, right: number, value: number): void {
    const slot = this.#slot(left, right);
    this.#lefts[slot] = left;
    this.#rights[slot] = right;
    this.#values[slot] = value;
  }

  /** The number of a pair, −1 where there is none. */
  get(left: number, right: number): number {
    return this.#values[this.#slot(left, right)];
  }

  #slot(left: number, right: number): number {
    let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    hash ^= hash >>> 15;
    let slot = hash & this.#mask;
    while (this.#values[slot] >= 0 && (this.#lefts[slot] !== left || this.#rights[slot] !== right))
      slot = (slot + 1) & this.#mask;
    return slot;
  }
}
