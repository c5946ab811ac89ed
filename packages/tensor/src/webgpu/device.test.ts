import { describe, expect, it } from 'vitest';
import { globals } from 'webgpu';
import { createMatrixEngine } from '../create-matrix-engine.js';
import { dawn } from './adapter.js';
import { createWebGpuEngine } from './index.js';
import { vectors, withoutAdapter } from './testing.js';

const { GPUOutOfMemoryError } = globals as Pick<typeof globalThis, 'GPUOutOfMemoryError'>;
const obstacle = await withoutAdapter();

/** Dawn's adapters, handing out each device to the test as well. */
function watched(devices: GPUDevice[]): GPU {
  const gpu = dawn();
  return new Proxy(gpu, {
    get(target, key) {
      if (key !== 'requestAdapter') return Reflect.get(target, key);
      return async (options: GPURequestAdapterOptions) => {
        const adapter = await target.requestAdapter(options);
        if (adapter === null) return null;
        const requestDevice = adapter.requestDevice.bind(adapter);
        adapter.requestDevice = async (descriptor) => {
          const device = await requestDevice(descriptor);
          devices.push(device);
          return device;
        };
        return adapter;
      };
    },
  });
}

async function opened() {
  const devices: GPUDevice[] = [];
  const engine = await createWebGpuEngine({ gpu: watched(devices) });
  const matrix = await engine.zeros(300, 300, 'fp32');
  return { engine, matrix, device: devices[0] };
}

const lost = { code: 'DEVICE_LOST' };

it('says what a machine without an adapter lacks', async () => {
  const none = { requestAdapter: async () => null } as unknown as GPU;
  await expect(createWebGpuEngine({ gpu: none })).rejects.toMatchObject({
    ...lost,
    message: expect.stringMatching(/Vulkan loader .* and a Vulkan driver/),
  });
});

describe.skipIf(obstacle !== null)(`a WebGPU device${obstacle === null ? '' : ` (${obstacle})`}`, () => {
  it('names its adapter, and measures its rates once', async () => {
    const engine = await createMatrixEngine({ prefer: 'webgpu' });
    expect(engine).toMatchObject({ name: 'webgpu', precisions: ['fp32'] });
    expect(engine.description).toMatch(/^WebGPU \(Dawn\) on \S+/);
    if (process.env.ERRATA_TEST_VULKAN !== undefined) expect(engine.description).toMatch(/software adapter/);
    const profile = await engine.profile('fp32');
    expect(profile.precision).toBe('fp32');
    for (const rate of [profile.matmulFlops, profile.copyBytes]) expect(rate).toBeGreaterThan(1e6);
    expect(profile.overhead).toBeGreaterThan(0);
    expect(await engine.profile('fp32')).toBe(profile);
    await expect(engine.profile('fp64')).rejects.toMatchObject({ code: 'INVALID_TENSOR' });
    await engine.dispose();
  });

  it('fails what is under way and what follows when it is lost', async () => {
    const { engine, matrix, device } = await opened();
    const pending = [matrix.times(vectors(300, 40, 1)), matrix.readRows(0, 300)];
    device.destroy();
    for (const each of await Promise.allSettled(pending))
      expect(each).toMatchObject({ status: 'rejected', reason: lost });
    await expect(matrix.times(vectors(300, 1, 1))).rejects.toMatchObject(lost);
    await expect(engine.zeros(2, 2, 'fp32')).rejects.toMatchObject(lost);
    matrix.dispose();
    await engine.dispose();
  });

  it('takes an error between operations as fatal', async () => {
    const { engine, matrix, device } = await opened();
    device.createShaderModule({ code: 'not a shader' });
    await device.queue.onSubmittedWorkDone();
    await expect(matrix.times(vectors(300, 1, 1))).rejects.toMatchObject(lost);
    await expect(matrix.readRows(0, 1)).rejects.toMatchObject({
      ...lost,
      message: expect.stringMatching(/new engine/),
    });
    await engine.dispose();
  });

  it('takes an error within an operation as fatal', async () => {
    const { engine, matrix, device } = await opened();
    const createBindGroup = device.createBindGroup.bind(device);
    device.createBindGroup = (descriptor) => createBindGroup({ ...descriptor, entries: [] });
    await expect(matrix.times(vectors(300, 1, 1))).rejects.toMatchObject(lost);
    device.createBindGroup = createBindGroup;
    await expect(matrix.times(vectors(300, 1, 1))).rejects.toMatchObject(lost);
    await engine.dispose();
  });

  it('stays usable when it has no room for a matrix', async () => {
    const { engine, matrix, device } = await opened();
    const popErrorScope = device.popErrorScope.bind(device);
    device.popErrorScope = async () => {
      await popErrorScope();
      device.popErrorScope = popErrorScope;
      return new GPUOutOfMemoryError('no memory');
    };
    await expect(engine.zeros(10, 10, 'fp32')).rejects.toMatchObject({
      code: 'OUT_OF_MEMORY',
      message: expect.stringMatching(/no memory/),
    });
    expect((await matrix.times(vectors(300, 1, 1))).data).toEqual(new Float64Array(300));
    matrix.dispose();
    await engine.dispose();
  });

  it('refuses work after disposal, when what was asked before is done', async () => {
    const { engine, matrix } = await opened();
    const before = matrix.times(vectors(300, 2, 1));
    await engine.dispose();
    expect((await before).data).toEqual(new Float64Array(600));
    await expect(matrix.times(vectors(300, 2, 1))).rejects.toMatchObject({ code: 'INVALID_TENSOR' });
  });
});
