// Outlives the process that started a stack: when that process ends in any way, its end of this one's stdin closes, and
// whatever it left running is ended here.
import { endLedger } from './lib/ledger.mjs';

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
process.stdin.resume();
for (const event of ['end', 'error', 'close'])
  process.stdin.once(event, () => {
    endLedger(process.argv[2]).finally(() => process.exit(0));
  });
