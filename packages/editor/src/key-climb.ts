import {
  activate,
  attend,
  createLayout,
  embed,
  forward,
  free,
  type Layout,
  type Model,
  pickRows,
  project,
  rowTokens,
  scoped,
  type Tensor,
} from '@errata/model';
import type { KeyRequest, Keys } from './key-request.js';
import type { KeyRow } from './key-rows.js';

/** The prompts of a batch on the way up: how far the layers whose weights cannot change any more have been run. */
interface Climb {
  readonly layer: number;
  readonly below: string;
  readonly layout: Layout;
  readonly edits: readonly number[];
  readonly weights: readonly number[];
  /** Packed index of each row's lookup position, the last token of the row. */
  readonly lookups: readonly number[];
  /** Before and within the feed-forward of `layer`. */
  readonly mid: Tensor;
  readonly activations: Tensor;
}

/**
 * Computes keys of edits that run together, the same in each call. While layers are asked for in ascending order, each
 * call runs only what the calls before it have not: updating layer l changes nothing below the down projection of l, and
 * that state is kept.
 */
export class KeyClimb {
  #climb: Climb | null = null;

  /** @param rows of each edit, the bare prompt's first */
  constructor(
    private readonly model: Model,
    private readonly rows: readonly (readonly KeyRow[])[],
  ) {}

  async find(request: Omit<KeyRequest, 'edits'>): Promise<Keys> {
    const climb = await this.#climbTo(request);
    const keys = await this.#meanKeys(climb);
    const hidden = await this.#presentHidden(climb, request);
    return { keys, hidden };
  }

  /** Frees what is kept between calls. */
  dispose(): void {
    if (!this.#climb) return;
    this.#climb.layout.dispose();
    free(this.model.engine.tf, this.#climb.mid, this.#climb.activations);
    this.#climb = null;
  }

  async #climbTo(request: Omit<KeyRequest, 'edits'>): Promise<Climb> {
    const { model } = this;
    const { layer, deltas, pause } = request;
    const kept = this.#climb;
    const reusable = kept && kept.layer <= layer && kept.below === versionsBelow(request, kept.layer);
    if (reusable && kept.layer === layer) return kept;
    if (!reusable) this.dispose();

    const plan = reusable ? kept : planRows(model, this.rows);
    const from = reusable ? kept.layer + 1 : 0;
    const { tf } = model.engine;
    const start = reusable
      ? scoped(tf, () =>
          project(model, model.weights.layers[kept.layer], kept.mid, kept.activations, deltas.get(kept.layer)),
        )
      : embed(model, (plan as RowPlan).ids);
    try {
      const run = await forward(model, start, plan.layout, { from, to: layer, deltas, ...(pause ? { pause } : {}) });
      const { mid, activations } = scoped(tf, () => {
        const weights = model.weights.layers[layer];
        const { mid, source } = attend(model, weights, run.hidden, plan.layout);
        return { mid, activations: activate(model, weights, source).activations };
      });
      run.hidden.dispose();
      if (kept && reusable) free(tf, kept.mid, kept.activations);
      const { layout, lookups, weights, edits: owners } = plan;
      const below = versionsBelow(request, layer);
      this.#climb = { layer, below, layout, edits: owners, weights, lookups, mid, activations };
      return this.#climb;
    } catch (error) {
      if (!reusable) plan.layout.dispose();
      throw error;
    } finally {
      start.dispose();
    }
  }

  async #meanKeys(climb: Climb): Promise<Float32Array> {
    const size = this.model.config.intermediateSize;
    const picked = pickRows(this.model, climb.activations, climb.lookups);
    const values = await picked.data();
    picked.dispose();
    const sums = new Float64Array(this.rows.length * size);
    climb.edits.forEach((edit, row) => {
      for (let i = 0; i < size; i++) sums[edit * size + i] += climb.weights[row] * values[row * size + i];
    });
    return Float32Array.from(sums);
  }

  async #presentHidden(climb: Climb, request: Omit<KeyRequest, 'edits'>): Promise<Float32Array> {
    const { model } = this;
    const { tf } = model.engine;
    const { config, deltas, layer, pause } = request;
    const last = config.layers[config.layers.length - 1];
    const perEdit = config.templates.length;
    const rows = this.rows.map((_, edit) => edit * perEdit);
    const tokens =
      layer === last ? rows.map((row) => climb.lookups[row]) : rows.flatMap((row) => rowTokens(climb.layout, row));
    const hidden = scoped(tf, () =>
      project(
        model,
        model.weights.layers[layer],
        pickRows(model, climb.mid, tokens),
        pickRows(model, climb.activations, tokens),
        deltas.get(layer),
      ),
    );
    if (layer === last) return consume(hidden);
    const layout = createLayout(
      tf,
      model.config,
      rows.map((row) => climb.layout.spans[row]),
    );
    try {
      const run = await forward(model, hidden, layout, {
        from: layer + 1,
        to: last + 1,
        deltas,
        ...(pause ? { pause } : {}),
      });
      const picked = pickRows(
        model,
        run.hidden,
        layout.spans.map((span, row) => layout.starts[row] + span.count - 1),
      );
      run.hidden.dispose();
      return await consume(picked);
    } finally {
      layout.dispose();
      hidden.dispose();
    }
  }
}

interface RowPlan extends Pick<Climb, 'layout' | 'edits' | 'weights' | 'lookups'> {
  readonly ids: number[];
}

/** Rows of one edit follow each other, the bare first. */
function planRows(model: Model, edits: readonly (readonly KeyRow[])[]): RowPlan {
  const rows = edits.flatMap((own, edit) => own.map((row) => ({ ...row, edit })));
  const layout = createLayout(
    model.engine.tf,
    model.config,
    rows.map((row) => ({ first: 0, count: row.ids.length })),
  );
  return {
    ids: rows.flatMap((row) => row.ids),
    layout,
    edits: rows.map((row) => row.edit),
    weights: rows.map((row) => row.weight),
    lookups: layout.spans.map((span, row) => layout.starts[row] + span.count - 1),
  };
}

async function consume(tensor: Tensor): Promise<Float32Array> {
  const values = (await tensor.data()) as Float32Array;
  tensor.dispose();
  return values;
}

function versionsBelow(request: Pick<KeyRequest, 'version'>, layer: number): string {
  return Array.from({ length: layer }, (_, l) => request.version(l)).join('\n');
}
