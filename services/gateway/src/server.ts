import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Express } from 'express';

/** Time for requests in flight to finish when stopping, in milliseconds. */
const graceMs = 8000;

export interface RunningGateway {
  readonly host: string;
  readonly port: number;
  /** Stops accepting, lets requests in flight finish, then closes what is left. */
  stop(): Promise<void>;
}

/** Listens with the application. @throws the error of listen, such as EADDRINUSE */
export async function listen(app: Express, host: string, port: number): Promise<RunningGateway> {
  const server = createServer(app);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return {
    host,
    port: (server.address() as AddressInfo).port,
    async stop() {
      const timer = setTimeout(() => server.closeAllConnections(), graceMs);
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
      });
      clearTimeout(timer);
    },
  };
}
