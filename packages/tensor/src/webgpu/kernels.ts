import { matvecKernel } from './matvec-wgsl.js';
import { type ProductMode, productKernel, sumKernel, type VectorTile } from './product-wgsl.js';
import { updateKernel } from './update-wgsl.js';

const layouts = {
  product: ['uniform', 'read-only-storage', 'read-only-storage', 'read-only-storage', 'storage'],
  sum: ['uniform', 'read-only-storage', 'storage'],
  update: ['uniform', 'read-only-storage', 'storage', 'read-only-storage', 'read-only-storage', 'read-only-storage'],
} as const satisfies Record<string, readonly GPUBufferBindingType[]>;
export type LayoutName = keyof typeof layouts;

const computeStage = 4;

/** The pipelines of a device, each compiled when first asked for and kept. */
export class Kernels {
  readonly #device: GPUDevice;
  readonly #layouts = new Map<LayoutName, GPUBindGroupLayout>();
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  product(mode: ProductMode, tile: VectorTile): Promise<GPUComputePipeline> {
    const shared = this.#device.limits.maxComputeWorkgroupStorageSize;
    return this.#pipeline(`product-${mode}-${tile}`, 'product', () => productKernel(mode, tile, shared));
  }

  matvec(mode: ProductMode): Promise<GPUComputePipeline> {
    return this.#pipeline(`matvec-${mode}`, 'product', () => matvecKernel(mode));
  }

  sum(): Promise<GPUComputePipeline> {
    return this.#pipeline('sum', 'sum', () => sumKernel);
  }

  update(): Promise<GPUComputePipeline> {
    return this.#pipeline('update', 'update', () => updateKernel);
  }

  bind(layout: LayoutName, buffers: readonly GPUBuffer[]): GPUBindGroup {
    return this.#device.createBindGroup({
      layout: this.#layout(layout),
      entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
  }

  #layout(name: LayoutName): GPUBindGroupLayout {
    let layout = this.#layouts.get(name);
    if (layout === undefined) {
      layout = this.#device.createBindGroupLayout({
        entries: layouts[name].map((type, binding) => ({ binding, visibility: computeStage, buffer: { type } })),
      });
      this.#layouts.set(name, layout);
    }
    return layout;
  }

  #pipeline(label: string, layout: LayoutName, code: () => string): Promise<GPUComputePipeline> {
    let pipeline = this.#pipelines.get(label);
    if (pipeline === undefined) {
      pipeline = this.#device.createComputePipelineAsync({
        label,
        layout: this.#device.createPipelineLayout({ bindGroupLayouts: [this.#layout(layout)] }),
        compute: { module: this.#device.createShaderModule({ label, code: code() }), entryPoint: 'main' },
      });
      this.#pipelines.set(label, pipeline);
    }
    return pipeline;
  }
}
