import { createEngine } from '@errata/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { embed, forward, logits, pickRows } from './forward.js';
import { createLayout } from './layout.js';
import { disposeModel, loadModel } from './model.js';
import { fixture, testModelPath } from './testing.js';
import type { Model } from './types.js';

interface ForwardFixture {
  prompts: {
    prompt: string;
    ids_with_bos0: number[];
    top5: { id: number; logit: number }[];
    logsumexp: number;
    logit_id0: number;
    layers: Record<
      string,
      {
        tokens: {
          pos: number;
          down_in_norm: number;
          down_in_first8: number[];
          resid_after_norm: number | null;
          resid_after_first4: number[] | null;
        }[];
      }
    >;
    greedy16: number[];
    greedy_text: string;
  }[];
}

describe.skipIf(testModelPath === '')('forward pass of SmolLM2', () => {
  let model: Model;
  beforeAll(async () => {
    model = await loadModel({ engine: await createEngine(), path: testModelPath });
  });
  afterAll(() => disposeModel(model));

  it('matches the fixture: logits, activations and hidden states', async () => {
    const { tf } = model.engine;
    for (const wanted of fixture<ForwardFixture>('model_forward.json').prompts) {
      const ids = [model.sinkId, ...model.tokenizer.ids(wanted.prompt)];
      expect(ids).toEqual(wanted.ids_with_bos0);
      const layout = createLayout(tf, model.config, [{ first: 0, count: ids.length }]);
      const captured = new Map<number, number[][]>();
      const residuals = new Map<number, number[][]>();
      let hidden = embed(model, ids);
      for (let layer = 0; layer < model.config.layers; layer++) {
        const next = await forward(model, hidden, layout, {
          from: layer,
          to: layer + 1,
          capture: (at, activations) => captured.set(at, activations.arraySync() as number[][]),
        });
        hidden.dispose();
        hidden = next.hidden;
        residuals.set(layer, hidden.arraySync() as number[][]);
      }
      const last = pickRows(model, hidden, [ids.length - 1]);
      const scores = logits(model, last);
      const values = (await scores.data()) as Float32Array;
      const ranked = [...values.keys()].sort((a, b) => values[b] - values[a]).slice(0, 5);
      expect(ranked).toEqual(wanted.top5.map((t) => t.id));
      for (const { id, logit } of wanted.top5) expect(Math.abs(values[id] - logit)).toBeLessThan(2e-3);
      expect(Math.abs(values[0] - wanted.logit_id0)).toBeLessThan(2e-3);
      for (const [layer, { tokens }] of Object.entries(wanted.layers))
        for (const token of tokens) {
          const input = captured.get(Number(layer))?.[token.pos] as number[];
          expect(Math.hypot(...input) / token.down_in_norm).toBeCloseTo(1, 4);
          token.down_in_first8.forEach((value, i) => {
            expect(Math.abs(input[i] - value)).toBeLessThan(2e-3);
          });
          if (token.resid_after_norm === null) continue;
          const residual = residuals.get(Number(layer))?.[token.pos] as number[];
          expect(Math.hypot(...residual) / token.resid_after_norm).toBeCloseTo(1, 4);
        }
      layout.dispose();
      tf.dispose([hidden, last, scores]);
    }
  });
});
