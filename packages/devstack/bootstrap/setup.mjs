import { setUpOrExit } from './lib/entry.mjs';

const native = ['cuda', 'cpu'].find((name) => process.argv.includes(`--${name}`));
await setUpOrExit({ testServer: process.argv.includes('--test'), ...(native !== undefined && { native }) });
process.stderr.write('everything is in place: npm start runs the main job\n');
