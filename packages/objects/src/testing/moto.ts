import { spawn, spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** How long the server may take to start. */
const startMs = 60_000;

/** The S3 server of moto (PyPI `moto[server]`): ERRATA_MOTO names its `moto_server`, else it is looked for on PATH. */
export function findMoto(env: NodeJS.ProcessEnv): string | null {
  const command = env.ERRATA_MOTO ?? 'moto_server';
  return spawnSync(command, ['--help'], { stdio: 'ignore' }).status === 0 ? command : null;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address ? address.port : 0;
}

export async function startMoto(command: string): Promise<{ url: string; stop(): Promise<void> }> {
  const port = await freePort();
  const child = spawn(command, ['-H', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' });
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const url = `http://127.0.0.1:${port}`;
  for (const until = Date.now() + startMs; ; await sleep(100)) {
    if (await fetch(`${url}/moto-api/data.json`).catch(() => null)) break;
    if (Date.now() > until || child.exitCode !== null) throw new Error(`${command} does not start`);
  }
  return {
    url,
    async stop() {
      child.kill();
      await gone;
    },
  };
}
