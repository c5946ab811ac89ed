import { TensorError } from '../errors.js';
import { type Panel, panelRowsOf, type SymmetricMatrix, type SymmetricSpec } from '../matrix-engine.js';
import {
  checkFactors,
  checkPanel,
  checkVectors,
  disposed,
  heldPanels,
  mirrorDiagonal,
  type PanelPlace,
  WHOLE,
} from '../panels.js';
import type { Gpu } from './gpu.js';
import { grainRows } from './limits.js';
import { product } from './products.js';
import { type Grain, RowStore } from './row-store.js';
import { update } from './updates.js';

function grainsOf(dimension: number, held: readonly PanelPlace[]): readonly Grain[] {
  const panelRows = panelRowsOf(dimension);
  const kept = new Set(held.map((panel) => panel.firstRow));
  return Array.from({ length: Math.ceil(dimension / grainRows) }, (_, g) => {
    const first = g * grainRows;
    const mirrored = first - (first % panelRows);
    const rows = Math.min(grainRows, dimension - first);
    return { rows, columns: Math.min(mirrored + panelRows, dimension), mirrored, held: kept.has(mirrored) };
  });
}

async function* readPanels(gpu: Gpu, store: () => RowStore, places: readonly PanelPlace[]): AsyncIterable<Panel> {
  for (const place of places) {
    const data = new Float32Array(place.rows * place.columns);
    await gpu.run(() => store().read(place.firstRow, place.rows, place.columns, data));
    yield { ...place, data };
  }
}

type Shape = Pick<SymmetricSpec, 'dimension' | 'share'>;

function symmetricOf(gpu: Gpu, shape: Shape, places: readonly PanelPlace[], opened: RowStore): SymmetricMatrix {
  const { dimension, share = WHOLE } = shape;
  let held: RowStore | null = opened;
  const store = () => {
    if (held === null) throw disposed();
    return held;
  };
  return {
    dimension,
    precision: 'fp32',
    share,
    panelRows: panelRowsOf(dimension),
    bytes: opened.bytes,
    async times(x) {
      checkVectors('product', x, dimension);
      return gpu.run(async () => product(gpu, store(), 'symmetric', x, dimension));
    },
    async rankUpdate(g, factors) {
      checkVectors('rank update', g, dimension);
      checkFactors(factors, g.count);
      return gpu.run(async () => update(gpu, store(), g, g, factors));
    },
    async copy() {
      return symmetricOf(gpu, shape, places, await gpu.run(async () => store().copy()));
    },
    panels: () => readPanels(gpu, store, places),
    dispose() {
      if (held === null) return;
      held = null;
      gpu.run(async () => opened.destroy()).catch(() => {});
    },
  };
}

/** A symmetric matrix on the device. @throws TensorError INVALID_TENSOR, OUT_OF_MEMORY, DEVICE_LOST */
export async function gpuSymmetric(gpu: Gpu, spec: SymmetricSpec): Promise<SymmetricMatrix> {
  if (spec.precision !== 'fp32') throw unsupported(spec.precision);
  const places = heldPanels(spec.dimension, spec.share);
  const store = await gpu.run(() => RowStore.open(gpu, grainsOf(spec.dimension, places)));
  try {
    for (const place of places) {
      const panel = await spec.fill(place.firstRow, place.rows);
      checkPanel(panel, place, 'fp32');
      const data = new Float32Array(panel.data);
      mirrorDiagonal(data, place);
      await gpu.run(() => store.write(place.firstRow, place.columns, data));
    }
  } catch (error) {
    await gpu.run(async () => store.destroy()).catch(() => {});
    throw error;
  }
  return symmetricOf(gpu, spec, places, store);
}

export function unsupported(precision: string): TensorError {
  return new TensorError('INVALID_TENSOR', `${precision} on WebGPU, which computes in fp32 only: use another engine`);
}
