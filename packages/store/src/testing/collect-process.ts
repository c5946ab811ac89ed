import { createStore } from '../store.js';

// A process of its own that collects garbage without retention, so that a test can kill it: `node collect-process.js URL`.
const [databaseUrl] = process.argv.slice(2);
const store = createStore({ databaseUrl });
const report = await store.collectGarbage({ keepMs: 0, graceMs: 0 });
await store.close();
process.stdout.write(JSON.stringify(report));
