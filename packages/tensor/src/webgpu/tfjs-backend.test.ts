import { createRequire } from 'node:module';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createEngine } from '../engine.js';
import { relativeError } from '../testing.js';
import { withoutAdapter } from './testing.js';
import { loadTfjs, type TfjsOptions, type WebGpuTfjs } from './tfjs-backend.js';

const obstacle = await withoutAdapter();
const software = process.env.ERRATA_TEST_VULKAN !== undefined;

it('says what a machine without an adapter lacks', async () => {
  const none = { requestAdapter: async () => null } as unknown as GPU;
  await expect(loadTfjs({ gpu: none })).rejects.toMatchObject({
    code: 'DEVICE_LOST',
    message: expect.stringMatching(/Vulkan loader .* and a Vulkan driver/),
  });
});

describe.skipIf(obstacle !== null)(`tfjs on a WebGPU device${obstacle === null ? '' : ` (${obstacle})`}`, () => {
  let opened: WebGpuTfjs | null = null;
  const open = async (options: TfjsOptions = {}): Promise<WebGpuTfjs> => {
    opened = await loadTfjs({ software: true, ...options });
    return opened;
  };
  afterEach(async () => {
    await opened?.dispose();
    opened = null;
  });

  it.runIf(software)('is refused on an adapter in software, unless that is asked for', async () => {
    await expect(createEngine({ prefer: 'webgpu' })).rejects.toMatchObject({
      code: 'DEVICE_LOST',
      message: expect.stringMatching(/software adapter.*leave ERRATA_ENGINE out/),
    });
    const engine = await createEngine({ prefer: 'webgpu', softwareAdapter: true });
    expect(engine).toMatchObject({ name: 'webgpu', fallbackReason: null });
    expect(engine.version).toMatch(/^tfjs 4\.\d+\.\d+, WebGPU \(Dawn\) on /);
    await engine.dispose();
  });

  it('leaves no navigator behind that other programs would take for a browser', async () => {
    const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
    await open();
    expect(Object.getOwnPropertyDescriptor(globalThis, 'navigator')).toEqual(before);
  });

  it('refuses a tensor above the binding limit, and stays usable', async () => {
    const { tf } = await open({ bufferBytes: 4096 });
    const large = tf.ones([1025]);
    expect(() => tf.square(large)).toThrow(
      expect.objectContaining({ code: 'OUT_OF_MEMORY', message: expect.stringMatching(/4100 bytes .* at most 4096/) }),
    );
    large.dispose();
    const row = tf.tensor2d(
      Float32Array.from({ length: 40 }, (_, i) => i),
      [40, 1],
    );
    expect(() => tf.matMul(row, row, false, true)).toThrow(expect.objectContaining({ code: 'OUT_OF_MEMORY' }));
    const square = tf.square(row);
    expect([...(await square.data())].slice(0, 4)).toEqual([0, 1, 4, 9]);
    tf.dispose([row, square]);
    expect(tf.memory().numTensors).toBe(0);
  });

  it('refuses to be read in step, before tfjs looks for a canvas', async () => {
    const { tf } = await open();
    const sum = tf.tidy(() => tf.add(tf.ones([4000]), 1));
    expect(() => sum.dataSync()).toThrow(/await its data\(\)/);
    expect((await sum.data())[3999]).toBe(2);
    sum.dispose();
  });

  it('adds any number of tensors', async () => {
    const { tf } = await open();
    for (const count of [1, 2, 8, 9, 15, 16, 17, 40]) {
      const terms = Array.from({ length: count }, (_, i) => tf.fill([3, 5], i + 1));
      const sum = tf.addN(terms);
      expect([...(await sum.data())]).toEqual(new Array(15).fill((count * (count + 1)) / 2));
      tf.dispose([...terms, sum]);
    }
    expect(tf.memory().numTensors).toBe(0);
  });

  it('takes an error of the device as fatal: what is read afterwards rejects', async () => {
    const { tf, failed } = await open();
    const x = tf.ones([5000]);
    const { device } = tf.backend() as unknown as { device: GPUDevice };
    const y = tf.square(x);
    device.createShaderModule({ code: 'not a shader' });
    const lost = { code: 'DEVICE_LOST', message: expect.stringMatching(/new engine/) };
    await expect(y.data()).rejects.toMatchObject(lost);
    await expect(failed).rejects.toMatchObject(lost);
    expect(() => tf.square(x)).toThrow(expect.objectContaining(lost));
  });

  it('fails a read whose commands are not valid', async () => {
    const { tf } = await open();
    const { device } = tf.backend() as unknown as { device: GPUDevice };
    const createBindGroup = device.createBindGroup.bind(device);
    device.createBindGroup = (descriptor) => createBindGroup({ ...descriptor, entries: [] });
    const y = tf.square(tf.ones([5000]));
    await expect(y.data()).rejects.toMatchObject({ code: 'DEVICE_LOST' });
  });

  it('keeps only so many bytes of freed buffers, whatever shapes come', async () => {
    const keptBytes = 200_000;
    const { tf, bytes } = await open({ keptBytes });
    const x = tf.fill([64], 3);
    expect((await x.data())[63]).toBe(3);
    const { used } = bytes();
    for (let size = 1000; size < 1040; size++) {
      const y = tf.tidy(() => tf.square(tf.add(tf.fill([size], 2), 1)));
      expect((await y.data())[size - 1]).toBe(9);
      y.dispose();
    }
    expect(bytes().used).toBe(used);
    expect(bytes().kept).toBeGreaterThan(keptBytes / 2);
    expect(bytes().kept).toBeLessThanOrEqual(keptBytes);
    x.dispose();
  });
});

describe.skipIf(obstacle !== null)('operations that the model is made of', () => {
  type Tf = WebGpuTfjs['tf'];
  type Tensor = ReturnType<Tf['tensor']>;
  let webgpu: WebGpuTfjs;
  beforeAll(async () => {
    createRequire(import.meta.url)('@tensorflow/tfjs-backend-cpu');
    webgpu = await loadTfjs({ software: true });
    // Else tfjs computes what is small and not on the device yet in JavaScript.
    webgpu.tf.env().set('WEBGPU_CPU_FORWARD', false);
  });

  const numbers = (length: number, seed: number) => Float32Array.from({ length }, (_, i) => Math.sin(seed + i * 0.37));
  const cases: [string, (tf: Tf) => Tensor][] = [
    [
      'matMul over groups',
      (tf) =>
        tf.matMul(
          tf.tensor(numbers(840, 1), [2, 3, 4, 35]) as never,
          tf.tensor(numbers(1050, 2), [2, 3, 5, 35]) as never,
          false,
          true,
        ),
    ],
    [
      'matMul of a transposed first',
      (tf) =>
        tf.matMul(
          tf.tensor(numbers(700, 1), [70, 10]) as never,
          tf.tensor(numbers(630, 2), [70, 9]) as never,
          true,
          false,
        ),
    ],
    [
      'matMul with a long inner side',
      (tf) =>
        tf.matMul(
          tf.tensor(numbers(3 * 4096, 1), [3, 4096]) as never,
          tf.tensor(numbers(5 * 4096, 2), [5, 4096]) as never,
          false,
          true,
        ),
    ],
    [
      'softmax with masked columns',
      (tf) =>
        tf.softmax(
          tf.add(
            tf.tensor(numbers(60, 3), [4, 15]),
            tf.tensor(
              Float32Array.from({ length: 60 }, (_, i) => (i % 15 > 9 ? -1e9 : 0)),
              [4, 15],
            ),
          ),
        ),
    ],
    [
      'mean and sum of rows',
      (tf) =>
        tf.concat(
          [
            tf.mean(tf.tensor(numbers(5000, 4), [2, 2500]), -1, true),
            tf.sum(tf.tensor(numbers(5000, 4), [2, 2500]), -1, true),
          ],
          1,
        ),
    ],
    [
      'logSumExp and max',
      (tf) =>
        tf.concat(
          [tf.logSumExp(tf.tensor(numbers(9000, 5), [3, 3000]), 1), tf.max(tf.tensor(numbers(9000, 5), [3, 3000]), 1)],
          0,
        ),
    ],
    ['argMax', (tf) => tf.argMax(tf.tensor(numbers(9000, 6), [3, 3000]), 1)],
    [
      'gather of rank 3',
      (tf) =>
        tf.gather(tf.tensor(numbers(90, 7), [15, 6]), tf.tensor([0, 3, 14, 2, 2, 9], [1, 2, 3], 'int32') as never),
    ],
    [
      'reverse and slice',
      (tf) => tf.reverse(tf.slice(tf.tensor(numbers(240, 8), [4, 6, 10]), [0, 2, 0], [-1, 3, -1]), 1),
    ],
    [
      'concat of two in the middle',
      (tf) => tf.concat([tf.tensor(numbers(60, 1), [2, 1, 3, 10]), tf.tensor(numbers(120, 2), [2, 1, 6, 10])], 2),
    ],
    [
      'where by rows',
      (tf) =>
        tf.where(
          tf.reshape(tf.tensor1d([true, false, true], 'bool'), [-1, 1]),
          tf.tensor(numbers(6, 1), [3, 2]),
          tf.tensor(numbers(6, 9), [3, 2]),
        ),
    ],
    [
      'tanh and sigmoid of large numbers',
      (tf) =>
        tf.concat(
          [tf.tanh(tf.tensor1d([-200, -30, 0, 1e-3, 30, 200])), tf.sigmoid(tf.tensor1d([-200, -30, 0, 30, 200]))],
          0,
        ),
    ],
    [
      'erf',
      (tf) =>
        tf.erf(
          tf.tensor(
            numbers(50, 2).map((x) => 3 * x),
            [50],
          ),
        ),
    ],
    ['oneHot', (tf) => tf.cast(tf.oneHot(tf.tensor1d([2, 0, 6], 'int32'), 7), 'float32')],
  ];

  it.each(cases)('%s', async (_, make) => {
    const { tf } = webgpu;
    await tf.setBackend('cpu');
    const expected = tf.tidy(() => make(tf));
    const wanted = Float64Array.from(await expected.data());
    expected.dispose();
    await tf.setBackend('webgpu');
    const tensors = tf.memory().numTensors;
    const found = tf.tidy(() => make(tf));
    expect(found.shape).toEqual(expected.shape);
    expect(relativeError(Float64Array.from(await found.data()), wanted)).toBeLessThan(1e-6);
    found.dispose();
    expect(tf.memory().numTensors).toBe(tensors);
  });
});
