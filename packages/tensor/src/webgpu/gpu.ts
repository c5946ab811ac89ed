import { TensorError } from '../errors.js';
import { type OpenDevice, usage } from './adapter.js';
import { BindGroups, type Scratch } from './bind-groups.js';
import { DeviceWatch, firstLine } from './device-watch.js';
import { Kernels } from './kernels.js';

const storage = usage.STORAGE | usage.COPY_DST | usage.COPY_SRC;
const scratchUsages = {
  x: storage,
  y: storage,
  signs: storage,
  parts: storage,
  result: storage,
  read: usage.MAP_READ | usage.COPY_DST,
} as const;
export type ScratchName = keyof typeof scratchUsages;

/**
 * A device and what all matrices on it share. Operations run one after another; an error of the device that is not a
 * failed allocation is fatal: the operation under way and all later ones reject with it.
 */
export class Gpu {
  readonly device: GPUDevice;
  readonly kernels: Kernels;
  /** Bytes that one buffer may have. */
  readonly bufferBytes: number;
  readonly #watch: DeviceWatch;
  readonly #scratch = new Map<ScratchName, Scratch>();
  readonly #bindings = new BindGroups();
  readonly #sumParams: GPUBuffer;
  #tail: Promise<unknown> = Promise.resolve();
  #versions = 0;
  #host = new Float32Array(0);

  constructor(open: OpenDevice, mostBytes: number) {
    const { device } = open;
    this.#watch = new DeviceWatch(open);
    this.device = device;
    const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
    const most = Math.min(maxBufferSize, maxStorageBufferBindingSize, mostBytes);
    this.bufferBytes = most - (most % 16);
    this.kernels = new Kernels(device);
    this.#sumParams = device.createBuffer({ size: 16, usage: usage.UNIFORM | usage.COPY_DST });
  }

  /** Runs when all earlier operations are done. @throws TensorError DEVICE_LOST, OUT_OF_MEMORY */
  run<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#tail.then(() => {
      this.#watch.check();
      return this.#watched(work);
    });
    this.#tail = turn.catch(() => {});
    return turn;
  }

  async #watched<T>(work: () => Promise<T>): Promise<T> {
    this.device.pushErrorScope('internal');
    this.device.pushErrorScope('validation');
    const outcome = work().then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    );
    const ended = await Promise.race([outcome, this.#watch.failed]);
    const errors = [this.device.popErrorScope(), this.device.popErrorScope()];
    for (const error of await Promise.race([Promise.all(errors), this.#watch.failed]))
      if (error !== null) throw this.#watch.fail(error.message);
    this.#watch.check();
    if ('value' in ended) return ended.value;
    if (ended.error instanceof TensorError) throw ended.error;
    throw this.#watch.fail(String(ended.error));
  }

  /** A buffer for matrices. @throws TensorError OUT_OF_MEMORY */
  async allocate(bytes: number, flags: number = storage): Promise<GPUBuffer> {
    if (bytes > this.bufferBytes)
      throw new TensorError(
        'OUT_OF_MEMORY',
        `a buffer of ${bytes} bytes where one may have ${this.bufferBytes}: use fewer columns, or another engine`,
      );
    this.device.pushErrorScope('out-of-memory');
    const buffer = this.device.createBuffer({ size: Math.max(16, bytes), usage: flags });
    const error = await this.device.popErrorScope();
    if (error === null) return buffer;
    buffer.destroy();
    throw new TensorError(
      'OUT_OF_MEMORY',
      `the device has no room for ${bytes} bytes more (${firstLine(error.message)}): split the layer over more workers`,
    );
  }

  /** A shared buffer of at least so many bytes, whose content lasts until the operation ends. */
  async scratch(name: ScratchName, bytes: number): Promise<Scratch> {
    const known = this.#scratch.get(name);
    if (known !== undefined && known.buffer.size >= bytes) return known;
    this.#scratch.delete(name);
    known?.buffer.destroy();
    const scratch = { buffer: await this.allocate(bytes, scratchUsages[name]), version: ++this.#versions };
    this.#scratch.set(name, scratch);
    return scratch;
  }

  /** What the addition of `parts` into `result` is bound to. */
  summing(parts: Scratch, result: Scratch): { readonly params: GPUBuffer; readonly group: GPUBindGroup } {
    const params = this.#sumParams;
    const buffers = [params, parts.buffer, result.buffer];
    return { params, group: this.#bindings.get('sum', [parts, result], () => this.kernels.bind('sum', buffers)) };
  }

  /** Host memory for what is about to be written, to be filled and written without a pause. */
  host(length: number): Float32Array<ArrayBuffer> {
    if (this.#host.length < length) this.#host = new Float32Array(length);
    return this.#host.subarray(0, length) as Float32Array<ArrayBuffer>;
  }

  submit(encode: (encoder: GPUCommandEncoder) => void): void {
    const encoder = this.device.createCommandEncoder();
    encode(encoder);
    this.device.queue.submit([encoder.finish()]);
  }

  /** Resolves when the device has done all that was submitted. */
  async settled(): Promise<void> {
    await this.device.queue.onSubmittedWorkDone();
  }

  /** Ends the device when what is under way has ended. */
  async dispose(): Promise<void> {
    await this.#tail;
    this.#watch.close();
    this.device.destroy();
    await this.device.lost;
  }
}
