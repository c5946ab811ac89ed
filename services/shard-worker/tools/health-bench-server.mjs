import { Registry } from 'prom-client';
import { startWorker } from '../dist/index.js';
import { MemoryLog } from '../dist/testing/memory-log.js';

const { inputs, outputs, engine, memoryBytes } = JSON.parse(process.env.BENCH);

/** A log whose second moment, a scaled identity and a rank of eight, is made when it is read and not kept. */
class WideLog extends MemoryLog {
  constructor() {
    super({ inputs, outputs }, 'none');
  }

  async readCovariance() {
    const data = new Float32Array(inputs * inputs);
    for (let r = 0; r < 8; r++) {
      const column = Float32Array.from({ length: inputs }, (_, i) => Math.cos((r + 1) * (i + 1)));
      for (let i = 0; i < inputs; i++) {
        const row = data.subarray(i * inputs, (i + 1) * inputs);
        for (let j = 0; j < inputs; j++) row[j] += column[i] * column[j];
        // Postgres answers in pieces, too.
        if (i % 256 === 0) await new Promise(setImmediate);
      }
    }
    for (let i = 0; i < inputs; i++) data[i * inputs + i] += 4;
    return { rows: inputs, columns: inputs, data };
  }
}

const log = new WideLog();
const streamId = log.addStream({ batchSize: 256 });
const worker = await startWorker({
  listen: '127.0.0.1:0',
  store: log,
  registry: new Registry(),
  engine,
  memoryBytes,
  scratch: null,
  snapshots: null,
  snapshotAfterSeconds: 0,
  onCrash: (reason) => console.error(reason),
});
process.once('message', async () => {
  await worker.stop(100);
  process.disconnect();
});
process.send({ address: worker.server.address, engine: worker.engine.name, streamId });
