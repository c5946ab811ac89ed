export { type Fault, type FaultServer, startFaultServer } from './fault-server.js';
