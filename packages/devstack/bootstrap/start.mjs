import { runCli, setUpOrExit } from './lib/entry.mjs';

await setUpOrExit();
await runCli(['start', ...process.argv.slice(2)]);
