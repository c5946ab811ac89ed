import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net';

/** What is read at once: with less, as sockets of Node do, the reads themselves take longer than hashing what was read. */
const READ_BYTES = 512 * 1024;

/**
 * A socket for pg that reads into one buffer. While it `lends`, its listeners of `data` get that buffer itself, which
 * holds for the call alone; else a copy. A socket of Node's makes a new buffer for every read: when tensors come in, 32 MB of
 * them at a time have V8 mark its whole heap, which costs more than reading them.
 */
export class LendingSocket extends Socket {
  lends = false;

  constructor() {
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    const onread: OnReadOpts = { buffer, callback: (length) => this.#take(buffer.subarray(0, length)) };
    // Node's documentation has it of connections, its types too; the constructor takes it.
    super({ onread } as SocketConstructorOpts);
  }

  /** @returns whether to go on reading */
  #take(chunk: Buffer): boolean {
    if (!this.lends) return this.push(Buffer.from(chunk));
    this.emit('data', chunk);
    return !this.isPaused();
  }
}
