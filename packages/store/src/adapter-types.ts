import type { Adapter } from '@errata/contracts';
import type { Matrix } from './types.js';

/** One layer of an adapter: W + B Gᵀ, its scaling in B. */
export interface AdapterFactors {
  readonly layer: number;
  /** d_in × r */
  readonly g: Matrix;
  /** d_out × r */
  readonly b: Matrix;
}

export interface NewAdapter extends Pick<Adapter, 'name' | 'modelId' | 'own' | 'origin'> {
  readonly layers: readonly AdapterFactors[];
}

/** Adapters that streams may begin with. */
export interface AdapterStore {
  /** The same factors again are the same adapter. @throws UNKNOWN_MODEL, INVALID_TENSOR, INVALID_REQUEST no layers */
  addAdapter(adapter: NewAdapter): Promise<Adapter>;
  listAdapters(): Promise<Adapter[]>;
  /** @throws UNKNOWN_ADAPTER */
  getAdapter(id: string): Promise<Adapter>;
  /**
   * The factors of a layer, filled with columns of zeros to the rank of the adapter; only zeros where it does not change
   * the layer. @throws UNKNOWN_ADAPTER, LOG_CORRUPT
   */
  readAdapterLayer(id: string, layer: number): Promise<AdapterFactors>;
  /** @throws UNKNOWN_ADAPTER, ADAPTER_IN_USE streams begin with it */
  deleteAdapter(id: string): Promise<void>;
}
