// The one entry point of the image: starts a service, applies migrations, or asks a running service for its health.
const root = new URL('../../', import.meta.url);
const built = (path) => import(new URL(`${path}/dist/${path.startsWith('services') ? 'main' : 'index'}.js`, root));
const services = ['gateway', 'orchestrator', 'model-runtime', 'shard-worker'];
const healthTimeoutMs = 4000;

async function migrateDatabase() {
  const { migrate } = await built('packages/store');
  const { DATABASE_URL: databaseUrl } = process.env;
  if (!databaseUrl) throw new Error('DATABASE_URL is not set: postgres://user:password@host:port/database');
  const { applied } = await migrate(databaseUrl);
  console.log(JSON.stringify({ applied }));
}

/** @param target http://host:port/path, or grpc://host:port for the standard health service */
async function checkHealth(target) {
  if (!URL.canParse(target)) throw new Error(`${target} is neither http://host:port/path nor grpc://host:port`);
  const { protocol, host } = new URL(target);
  if (protocol === 'grpc:') {
    const { connectHealth } = await built('packages/rpc');
    const client = connectHealth(host, 'service');
    await client.check({ timeoutMs: healthTimeoutMs }).finally(() => client.close());
    return;
  }
  const response = await fetch(target, { signal: AbortSignal.timeout(healthTimeoutMs) });
  if (!response.ok) throw new Error(`${target} answers ${response.status}`);
}

const [command, target] = process.argv.slice(2);
try {
  if (services.includes(command)) await built(`services/${command}`);
  else if (command === 'migrate') await migrateDatabase();
  else if (command === 'health') await checkHealth(target);
  else throw new Error(`${command} is not one of ${[...services, 'migrate', 'health TARGET'].join(', ')}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
