import { runInThread } from '@errata/telemetry/thread';

runInThread(new URL('./bench-history-run.js', import.meta.url));
