import { TensorError } from '../errors.js';

/** Bytes of freed buffers kept for reuse. Shapes differ from batch to batch: without a bound every size stays for good. */
const keptBytes = 512 * 2 ** 20;

/**
 * The buffers of tfjs's WebGPU backend, in place of its own manager, which never gives one back and searches a list at each
 * release. Freed buffers are kept by size and use, the oldest destroyed first.
 */
export class BufferPool {
  numBytesUsed = 0;
  numBytesAllocated = 0;
  readonly #device: GPUDevice;
  /** Bytes that one buffer may have. */
  readonly #bufferBytes: number;
  readonly #keptBytes: number;
  readonly #used = new Set<GPUBuffer>();
  /** Freed buffers, the oldest first. */
  readonly #free = new Set<GPUBuffer>();
  readonly #freeByKey = new Map<string, GPUBuffer[]>();

  constructor(device: GPUDevice, limits: { readonly bufferBytes?: number; readonly keptBytes?: number } = {}) {
    this.#device = device;
    const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
    this.#bufferBytes = Math.min(maxBufferSize, maxStorageBufferBindingSize, limits.bufferBytes ?? maxBufferSize);
    this.#keptBytes = limits.keptBytes ?? keptBytes;
  }

  /** @throws TensorError OUT_OF_MEMORY for more than a shader can be given: it would compute with garbage, silently */
  acquireBuffer(size: number, usage: number, mappedAtCreation = false, reuse = true): GPUBuffer {
    if (size > this.#bufferBytes)
      throw new TensorError(
        'OUT_OF_MEMORY',
        `a tensor of ${size} bytes where the device binds at most ${this.#bufferBytes}: use a smaller batch or model, or ERRATA_ENGINE=native`,
      );
    const kept = reuse ? this.#freeByKey.get(keyOf(size, usage))?.pop() : undefined;
    if (kept !== undefined) this.#free.delete(kept);
    else this.numBytesAllocated += size;
    const buffer = kept ?? this.#device.createBuffer({ size, usage, mappedAtCreation });
    this.#used.add(buffer);
    this.numBytesUsed += size;
    return buffer;
  }

  /** Takes a buffer back that no command still to be submitted uses. */
  releaseBuffer(buffer: GPUBuffer, reuse = true): void {
    if (!this.#used.delete(buffer)) return;
    this.numBytesUsed -= buffer.size;
    if (!reuse) {
      this.#destroy(buffer);
      return;
    }
    this.#free.add(buffer);
    const key = keyOf(buffer.size, buffer.usage);
    const same = this.#freeByKey.get(key);
    if (same === undefined) this.#freeByKey.set(key, [buffer]);
    else same.push(buffer);
    for (const oldest of this.#free) {
      if (this.numBytesAllocated - this.numBytesUsed <= this.#keptBytes) break;
      this.#forget(oldest);
    }
  }

  getNumUsedBuffers(): number {
    return this.#used.size;
  }

  getNumFreeBuffers(): number {
    return this.#free.size;
  }

  dispose(): void {
    for (const buffer of [...this.#used, ...this.#free]) buffer.destroy();
    this.#used.clear();
    this.#free.clear();
    this.#freeByKey.clear();
    this.numBytesUsed = 0;
    this.numBytesAllocated = 0;
  }

  #forget(buffer: GPUBuffer): void {
    this.#free.delete(buffer);
    const key = keyOf(buffer.size, buffer.usage);
    const rest = this.#freeByKey.get(key)?.filter((other) => other !== buffer) ?? [];
    if (rest.length === 0) this.#freeByKey.delete(key);
    else this.#freeByKey.set(key, rest);
    this.#destroy(buffer);
  }

  #destroy(buffer: GPUBuffer): void {
    this.numBytesAllocated -= buffer.size;
    buffer.destroy();
  }
}

function keyOf(size: number, usage: number): string {
  return `${size} ${usage}`;
}
