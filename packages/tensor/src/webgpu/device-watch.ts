import { TensorError } from '../errors.js';
import type { OpenDevice } from './adapter.js';

/** Dawn's messages go on with where in its sources they arose. */
export const firstLine = (message: string): string => message.trim().split('\n')[0];

/** Errors of a device, which nobody hears of otherwise: the first one makes it unusable for good. */
export class DeviceWatch {
  /** Rejects with the failure; its rejection needs no handler. */
  readonly failed: Promise<never>;
  readonly #open: OpenDevice;
  #reject: (error: TensorError) => void = () => {};
  #failure: TensorError | null = null;

  constructor(open: OpenDevice) {
    const { device } = open;
    this.#open = open;
    this.failed = new Promise((_, reject) => {
      this.#reject = reject;
    });
    this.failed.catch(() => {});
    device.addEventListener('uncapturederror', (event) => this.fail((event as GPUUncapturedErrorEvent).error.message));
    device.lost.then((info) => this.fail(info.message === '' ? info.reason : info.message));
  }

  get failure(): TensorError | null {
    return this.#failure;
  }

  /** Makes the device unusable for good. */
  fail(message: string): TensorError {
    if (this.#failure === null) {
      this.#failure = new TensorError(
        'DEVICE_LOST',
        `${this.#open.description}: ${firstLine(message)}; start a new engine`,
      );
      this.#reject(this.#failure);
    }
    return this.#failure;
  }

  /** What is asked of the device from now on is refused, and its loss is expected. */
  close(): void {
    this.#failure ??= new TensorError('INVALID_TENSOR', 'the engine was disposed');
  }

  /** @throws TensorError the failure, if there is one */
  check(): void {
    if (this.#failure !== null) throw this.#failure;
  }
}
