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
  /** The adapter, for people. */
  readonly description: string;
  /** Of the adapter, for programs. */
  readonly info: GPUAdapterInfo;
  /** Whether the adapter computes on the CPU. */
  readonly software: boolean;
}

/**
 * Kernels here, and those of tfjs that the model is made of, write shared memory before they read it; clearing it first takes
 * software drivers seconds to compile.
 */
const dawnFlags = ['enable-dawn-features=disable_workgroup_init'];

/** Dawn's adapters. */
export function dawn(): GPU {
  return create(dawnFlags);
}

/** The adapter's own limits, where more is asked for than the least that all have. */
const wantedLimits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxComputeWorkgroupStorageSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupsPerDimension',
] as const;

function nameOf(info: GPUAdapterInfo): string {
  return [info.vendor, info.architecture, info.device, info.description].filter((part) => part !== '').join(' ');
}

/**
 * Opens a device with the adapter's own limits instead of the default ones.
 * @throws TensorError DEVICE_LOST where there is no adapter
 */
export async function openDevice(gpu: GPU = dawn()): Promise<OpenDevice> {
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter === null)
    throw new TensorError(
      'DEVICE_LOST',
      'no WebGPU adapter: on Linux a Vulkan loader (libvulkan.so.1) and a Vulkan driver of the card are needed',
    );
  const { info, limits } = adapter;
  const requiredLimits = Object.fromEntries(wantedLimits.map((name) => [name, limits[name]]));
  const device = await adapter.requestDevice({ requiredLimits });
  const name = nameOf(info);
  const software = info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe/i.test(name);
  const description = `WebGPU (Dawn) on ${name}${software ? ', a software adapter' : ''}`;
  return { gpu, device, description, info, software };
}
