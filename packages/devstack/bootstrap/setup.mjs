import { setUpOrExit } from './lib/entry.mjs';

await setUpOrExit({ testServer: process.argv.includes('--test') });
process.stderr.write('everything is in place: npm start runs the main job\n');
