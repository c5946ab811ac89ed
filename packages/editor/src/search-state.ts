import type { EditorConfig } from '@errata/contracts';
import { Adam, norm } from './adam.js';

/**
 * How far the one-shot resolver goes, of what the clamp allows. On SmolLM2 the loss after the step is least at 0.3 of
 * the hidden state's norm, with a clamp of 0.75.
 */
const oneShotShare = 0.4;

/** What the search of one edit found. */
export interface TargetFigures {
  readonly initialNll: number;
  readonly finalNll: number;
  readonly kl: number;
  readonly steps: number;
  /** The loss before the first step and after each. */
  readonly losses: readonly number[];
  /** ‖δ‖ over the norm of the hidden state it is added to. */
  readonly relativeNorm: number;
  /** Greedy decoding of the bare prompt yields the target already; its z is the present state. */
  readonly alreadyKnown: boolean;
}

/** The search for one edit's target: δ, how far it may go, and what was last measured. */
export class SearchState {
  readonly delta: Float64Array;
  readonly initialNorm: number;
  alreadyKnown = false;
  /** The loss is low enough. */
  done = false;
  /** Nothing more is to be searched: done, out of steps, or given up. */
  over = false;
  steps = 0;
  initialNll = Number.NaN;
  nll = Number.NaN;
  kl = Number.NaN;
  loss = Number.NaN;
  /** The loss at each δ that was measured. */
  readonly losses: number[] = [];
  readonly #adam: Adam;
  readonly #config: EditorConfig;

  /** @param initial hidden state after the last edited layer at the lookup position of the bare prompt */
  constructor(
    readonly initial: Float32Array,
    config: EditorConfig,
  ) {
    this.#config = config;
    this.delta = new Float64Array(initial.length);
    this.initialNorm = norm(initial);
    this.#adam = new Adam(initial.length);
  }

  /** Takes in the losses at the present δ. */
  measure(nll: number, kl: number): void {
    if (this.steps === 0) this.initialNll = nll;
    this.nll = nll;
    this.kl = kl;
    this.loss =
      nll + this.#config.klWeight * kl + (this.#config.weightDecay * norm(this.delta)) / this.initialNorm ** 2;
    this.losses.push(this.loss);
    const { stopLoss, maxSteps, resolver } = this.#config;
    if (this.loss < stopLoss || this.alreadyKnown) this.done = true;
    if (this.done || (resolver !== 'one-shot' && this.losses.length >= maxSteps)) this.over = true;
  }

  /** Moves δ against the gradient of nll + weighted kl, as the resolver does. */
  advance(gradient: Float64Array): void {
    if (this.#config.resolver === 'one-shot') {
      this.#leap(gradient);
      this.over = true;
    } else this.step(gradient);
  }

  /** One Adam step with the gradient of nll + weighted kl; adds the decay's and clamps. */
  step(gradient: Float64Array): void {
    const { weightDecay, learningRate, clamp } = this.#config;
    const length = norm(this.delta);
    if (length > 0)
      for (let i = 0; i < gradient.length; i++)
        gradient[i] += (weightDecay * this.delta[i]) / (length * this.initialNorm ** 2);
    this.#adam.step(this.delta, gradient, learningRate);
    const limit = clamp * this.initialNorm;
    const moved = norm(this.delta);
    if (moved > limit) for (let i = 0; i < this.delta.length; i++) this.delta[i] *= limit / moved;
    this.steps++;
  }

  /** The one step of the one-shot resolver: against the gradient, as far as {@link oneShotShare} of the clamp. */
  #leap(gradient: Float64Array): void {
    const length = norm(gradient);
    if (length === 0) return;
    const distance = oneShotShare * this.#config.clamp * this.initialNorm;
    for (const [i, slope] of gradient.entries()) this.delta[i] = (-distance * slope) / length;
    this.steps++;
  }

  /** Initial hidden state + δ. */
  target(): Float32Array {
    return this.initial.map((value, i) => value + this.delta[i]);
  }

  figures(): TargetFigures {
    return {
      initialNll: this.initialNll,
      finalNll: this.nll,
      kl: this.kl,
      steps: this.steps,
      losses: this.losses,
      relativeNorm: this.initialNorm > 0 ? norm(this.delta) / this.initialNorm : 0,
      alreadyKnown: this.alreadyKnown,
    };
  }
}
