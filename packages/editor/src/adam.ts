/** Decay rates and ε of Adam's paper (arXiv 1412.6980). */
const beta1 = 0.9;
const beta2 = 0.999;
const epsilon = 1e-8;

/** State of Adam for one vector. */
export class Adam {
  readonly #first: Float64Array;
  readonly #second: Float64Array;
  #steps = 0;

  constructor(size: number) {
    this.#first = new Float64Array(size);
    this.#second = new Float64Array(size);
  }

  /** Moves `vector` one step against `gradient`. */
  step(vector: Float64Array, gradient: Float64Array, rate: number): void {
    this.#steps++;
    const firstScale = 1 / (1 - beta1 ** this.#steps);
    const secondScale = 1 / (1 - beta2 ** this.#steps);
    for (let i = 0; i < vector.length; i++) {
      this.#first[i] = beta1 * this.#first[i] + (1 - beta1) * gradient[i];
      this.#second[i] = beta2 * this.#second[i] + (1 - beta2) * gradient[i] ** 2;
      vector[i] -= (rate * this.#first[i] * firstScale) / (Math.sqrt(this.#second[i] * secondScale) + epsilon);
    }
  }
}

/** Euclidean norm. */
export function norm(vector: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < vector.length; i++) sum += vector[i] ** 2;
  return Math.sqrt(sum);
}
