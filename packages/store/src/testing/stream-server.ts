import type { EditorConfig, Model, Stream } from '@errata/contracts';
import { migrate } from '../migrate.js';
import { createStore } from '../store.js';
import type { Store } from '../types.js';
import { startTestServer } from './server.js';

/** A Postgres of one's own with one stream: what benches work on. */
export interface StreamServer {
  readonly url: string;
  readonly store: Store;
  readonly stream: Stream;
  /** Closes the store as well. */
  stop(): Promise<void>;
}

export async function startStreamServer(model: Model, config: EditorConfig): Promise<StreamServer> {
  const server = await startTestServer();
  try {
    await server.query('CREATE DATABASE bench');
    const url = server.url('bench');
    await migrate(url);
    const store = createStore({ databaseUrl: url });
    await store.registerModel(model);
    const stream = await store.createStream({ name: 'bench', modelId: model.id, config });
    const stop = async () => {
      await store.close();
      await server.stop();
    };
    return { url, store, stream, stop };
  } catch (error) {
    await server.stop();
    throw error;
  }
}
