import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setUpOrExit } from './lib/entry.mjs';
import { repoRoot } from './lib/paths.mjs';
import { summarise } from './lib/test-summary.mjs';

/** A Vulkan loader is found only through what the environment said when its process began. */
function vulkan(driver, env) {
  if (driver === undefined || env.VK_ICD_FILENAMES !== undefined || env.VK_DRIVER_FILES !== undefined) return {};
  const folders = [path.dirname(driver), env.LD_LIBRARY_PATH].filter(Boolean);
  return { ERRATA_TEST_VULKAN: driver, VK_ICD_FILENAMES: driver, LD_LIBRARY_PATH: folders.join(path.delimiter) };
}

const tools = await setUpOrExit({ testServer: true });
const defined = Object.fromEntries(
  Object.entries({
    MODEL_PATH: tools.modelPath,
    MODEL_NAME: tools.modelName,
    ERRATA_TEMPORAL: tools.temporal,
    ERRATA_TEST_SERVER: tools.testServer,
    ERRATA_PROMETHEUS: tools.prometheus,
    ...vulkan(tools.softwareVulkan, process.env),
  }).filter(([, value]) => value !== undefined),
);

const folder = mkdtempSync(path.join(tmpdir(), 'errata-test-'));
const report = path.join(folder, 'report.json');
const vitest = spawn(
  process.execPath,
  [
    path.join(repoRoot, 'node_modules', 'vitest', 'vitest.mjs'),
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...process.argv.slice(2),
  ],
  { cwd: repoRoot, stdio: 'inherit', env: { ...process.env, ...defined } },
);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => vitest.kill(signal));
const code = await new Promise((resolve) => {
  vitest.on('error', () => resolve(1));
  vitest.on('close', (exit) => resolve(exit ?? 1));
});

let results;
try {
  results = JSON.parse(readFileSync(report, 'utf8'));
} catch {}
rmSync(folder, { recursive: true, force: true });
const { line, failed, notes } = summarise(results, code);
for (const note of notes) console.log(note);
console.log(line);
process.exitCode = failed === 0 ? 0 : 1;
