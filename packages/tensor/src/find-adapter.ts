/** A WebGPU adapter that this process can use, or why there is none. */
export type Adapter =
  | { readonly description: string /** Whether it computes on the CPU. */; readonly software: boolean }
  | { readonly missing: string };

/** Looks for a WebGPU adapter by opening its device, which is given back. */
export async function findAdapter(): Promise<Adapter> {
  try {
    const { openDevice } = await import('./webgpu/adapter.js');
    const { device, description, software } = await openDevice();
    device.destroy();
    return { description, software };
  } catch (error) {
    return { missing: error instanceof Error ? error.message : String(error) };
  }
}
