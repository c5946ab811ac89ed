import { createRequire } from 'node:module';
import { globals } from 'webgpu';
import { TensorError } from '../errors.js';
import { type OpenDevice, openDevice } from './adapter.js';
import { BufferPool } from './buffer-pool.js';
import { DeviceWatch } from './device-watch.js';
import { repairAddN } from './tfjs-repairs.js';

type Tf = typeof import('@tensorflow/tfjs-core');
type BackendModule = typeof import('@tensorflow/tfjs-backend-webgpu');

export interface TfjsOptions {
  /** What adapters are asked of; Dawn's by default. */
  readonly gpu?: GPU;
  /** Take an adapter that computes on the CPU, too: for tests. */
  readonly software?: boolean;
  /** Bytes that a tensor may have, where less than the adapter allows. */
  readonly bufferBytes?: number;
  /** Bytes of freed buffers kept. */
  readonly keptBytes?: number;
}

/** tfjs on a WebGPU device. */
export interface WebGpuTfjs {
  readonly tf: Tf;
  readonly version: string;
  /** Rejects when the device is lost or one of its errors has made it unusable. */
  readonly failed: Promise<never>;
  /** Bytes in buffers of tensors, and of freed buffers that are kept. */
  bytes(): { readonly used: number; readonly kept: number };
  dispose(): Promise<void>;
}

/**
 * tfjs's own WebGPU backend on a device of Dawn, with its silent failures made loud: a tensor above the binding limit is
 * refused, reading in step throws, and after the first error of the device every operation and every read rejects.
 * @throws TensorError DEVICE_LOST where there is no adapter, or only one in software and that was not asked for
 */
export async function loadTfjs(options: TfjsOptions = {}): Promise<WebGpuTfjs> {
  const open = await openDevice(options.gpu);
  if (open.software && options.software !== true) {
    open.device.destroy();
    throw new TensorError(
      'DEVICE_LOST',
      `${open.description}: slower than the CPU engines; install the Vulkan driver of the card, or leave ERRATA_ENGINE out`,
    );
  }
  const require = createRequire(import.meta.url);
  const tf: Tf = require('@tensorflow/tfjs-core');
  const watch = new DeviceWatch(open);
  const pool = new BufferPool(open.device, options);
  const backend = createBackend(require, open, watch, pool);
  if (tf.findBackendFactory('webgpu') !== null) tf.removeBackend('webgpu');
  tf.registerBackend('webgpu', () => backend);
  repairAddN(tf);
  if (!(await tf.setBackend('webgpu'))) throw new Error('the WebGPU backend of tfjs did not start');
  return {
    tf,
    version: `tfjs ${tf.version_core}, ${open.description}`,
    failed: watch.failed,
    bytes: () => ({ used: pool.numBytesUsed, kept: pool.numBytesAllocated - pool.numBytesUsed }),
    async dispose() {
      watch.close();
      if (tf.engine().registry.webgpu === backend) tf.removeBackend('webgpu');
      open.device.destroy();
      await open.device.lost;
    },
  };
}

function createBackend(require: NodeJS.Require, open: OpenDevice, watch: DeviceWatch, pool: BufferPool) {
  const { WebGPUBackend }: BackendModule = require('@tensorflow/tfjs-backend-webgpu');

  class LoudBackend extends WebGPUBackend {
    override runWebGPUProgram(...args: Parameters<InstanceType<typeof WebGPUBackend>['runWebGPUProgram']>) {
      watch.check();
      return super.runWebGPUProgram(...args);
    }

    override async read(dataId: object) {
      watch.check();
      const { device } = open;
      device.pushErrorScope('validation');
      const values = super.read(dataId);
      // A second way to the device: errors of what was submitted before have arrived when it is back.
      const [read, error] = await Promise.race([Promise.all([values, device.popErrorScope()]), watch.failed]);
      if (error !== null) throw watch.fail(error.message);
      watch.check();
      return read;
    }

    override readSync(dataId: object) {
      const { values } = this.tensorMap.get(dataId);
      if (values === null || values === undefined)
        throw new TensorError('INVALID_TENSOR', 'a tensor on a WebGPU device cannot be read in step: await its data()');
      return values;
    }
  }

  const backend = withGlobals(open.gpu, () => new LoudBackend(open.device, open.info));
  Object.assign(backend, { bufferManager: pool });
  return backend;
}

/** Runs what looks for WebGPU where a browser has it. Its classes and flags stay global: tfjs goes on to use them. */
function withGlobals<T>(gpu: GPU, work: () => T): T {
  Object.assign(globalThis, globals);
  const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  Object.defineProperty(globalThis, 'navigator', { value: { gpu }, configurable: true });
  try {
    return work();
  } finally {
    if (before === undefined) Reflect.deleteProperty(globalThis, 'navigator');
    else Object.defineProperty(globalThis, 'navigator', before);
  }
}
