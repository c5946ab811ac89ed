export { startTestDatabase, type TestDatabase } from './database.js';
export { startTestServer, type TestServer } from './server.js';
export { logBytes, rawCopySeconds, writeSyntheticLog } from './synthetic-log.js';
