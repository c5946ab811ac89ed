export { startTestDatabase, type TestDatabase } from './database.js';
export { openRawCopy, type RawCopy, timedClean } from './raw-copy.js';
export { startTestServer, type TestServer } from './server.js';
export { type StreamServer, startStreamServer } from './stream-server.js';
export { type LogBytes, logBytes, writeSyntheticLog } from './synthetic-log.js';
