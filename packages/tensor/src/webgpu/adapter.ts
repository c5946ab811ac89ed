import { create, globals } from 'webgpu';
import { TensorError } from '../errors.js';

const { GPUBufferUsage, GPUMapMode } = globals as Pick<typeof globalThis, 'GPUBufferUsage' | 'GPUMapMode'>;

/** The flags of WebGPU, which are not put into the global scope. */
export const usage = GPUBufferUsage;
export const mapMode = GPUMapMode;

export interface OpenDevice {
  /** Kept reachable as long as the device: the device does not keep it. */
  readonly gpu: GPU;
  readonly device: GPUDevice;
  /** Adapter, and whether it computes in software. */
  readonly description: string;
}

/** Kernels here write shared memory before they read it; clearing it first takes software drivers seconds to compile. */
const dawnFlags = ['enable-dawn-features=disable_workgroup_init'];

/** Dawn's adapters. */
export function dawn(): GPU {
  return create(dawnFlags);
}

function describe(info: GPUAdapterInfo): string {
  const name = [info.vendor, info.architecture, info.device, info.description].filter((part) => part !== '').join(' ');
  const software = info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe/i.test(name);
  return `WebGPU (Dawn) on ${name}${software ? ', a software adapter' : ''}`;
}

/**
 * Opens a device with the adapter's own limits of buffers instead of the default ones.
 * @throws TensorError DEVICE_LOST where there is no adapter
 */
export async function openDevice(gpu: GPU = dawn()): Promise<OpenDevice> {
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter === null)
    throw new TensorError(
      'DEVICE_LOST',
      'no WebGPU adapter: on Linux a Vulkan loader (libvulkan.so.1) and a Vulkan driver of the card are needed',
    );
  const { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize } = adapter.limits;
  const device = await adapter.requestDevice({
    requiredLimits: { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize },
  });
  return { gpu, device, description: describe(adapter.info) };
}
