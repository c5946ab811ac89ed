/** A buffer that is made anew when more is asked of it; `version` tells apart what stood in its place. */
export interface Scratch {
  readonly buffer: GPUBuffer;
  readonly version: number;
}

/** Bind groups by name, each kept until one of the shared buffers in it is replaced. */
export class BindGroups {
  readonly #known = new Map<string, { readonly version: string; readonly group: GPUBindGroup }>();

  get(name: string, shared: readonly Scratch[], make: () => GPUBindGroup): GPUBindGroup {
    const version = shared.map((scratch) => scratch.version).join(' ');
    const known = this.#known.get(name);
    if (known?.version === version) return known.group;
    const group = make();
    this.#known.set(name, { version, group });
    return group;
  }
}
