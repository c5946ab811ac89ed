import { createHash } from 'node:crypto';
import type { EditorConfig } from '@errata/contracts';
import {
  activate,
  attend,
  createLayout,
  type Deltas,
  embed,
  forward,
  free,
  type Layout,
  type Model,
  type Pause,
  pickRows,
  project,
  scoped,
  type Tensor,
} from '@errata/model';
import { checkLayers } from './check-layers.js';
import { type EditText, locate } from './lookup.js';

/** What keys are wanted of. */
export interface KeyRequest {
  readonly edits: readonly EditText[];
  readonly config: EditorConfig;
  readonly layer: number;
  readonly deltas: Deltas;
  /** Names the content of a layer's change: equal strings mean equal weights. */
  readonly version: (layer: number) => string;
  readonly pause?: Pause;
}

export interface Keys {
  /** Mean input of the layer's down projection, column-major [intermediate size × edits]. */
  readonly keys: Float32Array;
  /** Hidden state after the last edited layer at the lookup position of the bare prompt, column-major [hidden size × edits]. */
  readonly hidden: Float32Array;
}

/** The prompts of a batch on the way up: how far the layers whose weights cannot change any more have been run. */
interface Climb {
  readonly batch: string;
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
 * Computes keys. While the layers of one batch are asked for in ascending order, each call runs only what the calls
 * before it have not: updating layer l changes nothing below the down projection of l, and that state is kept.
 */
export class KeyFinder {
  #climb: Climb | null = null;

  constructor(private readonly model: Model) {}

  /**
   * @throws ModelError PROMPT_TOO_LONG, EMPTY_TOKENS
   * @throws ErrataError INVALID_REQUEST a layer that the model does not have, a prompt without its subject
   */
  async find(request: KeyRequest): Promise<Keys> {
    checkLayers(this.model, { layers: [...request.config.layers, request.layer] });
    const climb = await this.#climbTo(request);
    const keys = await this.#meanKeys(climb, request.edits.length);
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

  async #climbTo(request: KeyRequest): Promise<Climb> {
    const { model } = this;
    const { layer, edits, config, deltas, pause } = request;
    const batch = batchKey(edits, config);
    const kept = this.#climb;
    const reusable =
      kept && kept.batch === batch && kept.layer <= layer && kept.below === versionsBelow(request, kept.layer);
    if (reusable && kept.layer === layer) return kept;
    if (!reusable) this.dispose();

    const plan = reusable ? kept : planRows(model, edits, config);
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
      this.#climb = { batch, layer, below, layout, edits: owners, weights, lookups, mid, activations };
      return this.#climb;
    } catch (error) {
      if (!reusable) plan.layout.dispose();
      throw error;
    } finally {
      start.dispose();
    }
  }

  async #meanKeys(climb: Climb, edits: number): Promise<Float32Array> {
    const size = this.model.config.intermediateSize;
    const picked = pickRows(this.model, climb.activations, climb.lookups);
    const values = await picked.data();
    picked.dispose();
    const sums = new Float64Array(edits * size);
    climb.edits.forEach((edit, row) => {
      for (let i = 0; i < size; i++) sums[edit * size + i] += climb.weights[row] * values[row * size + i];
    });
    return Float32Array.from(sums);
  }

  async #presentHidden(climb: Climb, request: KeyRequest): Promise<Float32Array> {
    const { model } = this;
    const { tf } = model.engine;
    const { config, deltas, layer, pause } = request;
    const last = config.layers[config.layers.length - 1];
    const perEdit = config.templates.length;
    const rows = request.edits.map((_, edit) => edit * perEdit);
    const tokens =
      layer === last ? rows.map((row) => climb.lookups[row]) : rows.flatMap((row) => packedRange(climb.layout, row));
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

/** Rows cut after the lookup position: nothing later can reach it. Rows of one edit follow each other, the bare first. */
function planRows(model: Model, edits: readonly EditText[], config: EditorConfig): RowPlan {
  const { templates } = config;
  const rows = edits.flatMap((edit, index) =>
    templates.map((template, t) => {
      const { ids, lookup } = locate(model, template, edit);
      const weight = templates.length === 1 ? 1 : t === 0 ? 0.5 : 0.5 / (templates.length - 1);
      return { edit: index, ids: ids.slice(0, lookup + 1), weight };
    }),
  );
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

function packedRange(layout: Layout, row: number): number[] {
  return Array.from({ length: layout.spans[row].count }, (_, i) => layout.starts[row] + i);
}

function batchKey(edits: readonly EditText[], config: EditorConfig): string {
  const texts = edits.map((edit) => [edit.prompt, edit.subject ?? null]);
  return createHash('sha256')
    .update(JSON.stringify([texts, config.templates]))
    .digest('hex');
}

function versionsBelow(request: KeyRequest, layer: number): string {
  return Array.from({ length: layer }, (_, l) => request.version(l)).join('\n');
}
