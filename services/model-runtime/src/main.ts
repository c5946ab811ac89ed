import { runInThread } from '@errata/telemetry/thread';

runInThread(new URL('./run.js', import.meta.url));
