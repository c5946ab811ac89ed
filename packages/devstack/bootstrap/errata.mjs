import { runCli, setUpOrExit } from './lib/entry.mjs';

await setUpOrExit();
await runCli(process.argv.slice(2));
