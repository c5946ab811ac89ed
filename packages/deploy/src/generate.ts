import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { generatedFiles, repository } from './files.js';

/** Folders that hold generated files alone. */
const ownFolders = ['deploy/grafana/dashboards', 'deploy/helm/errata/files'];

const root = fileURLToPath(repository);
const files = generatedFiles();
const strays = ownFolders
  .filter((folder) => existsSync(path.join(root, folder)))
  .flatMap((folder) =>
    readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name))),
  )
  .filter((file) => !files.has(file));

if (process.argv.includes('--check')) {
  const stale = [...files].filter(([file, text]) => {
    const target = path.join(root, file);
    return !existsSync(target) || readFileSync(target, 'utf8') !== text;
  });
  for (const [file] of stale) console.log(`${file} is out of date`);
  for (const file of strays) console.log(`${file} is no longer generated`);
} else {
  for (const [file, text] of files) {
    const target = path.join(root, file);
    mkdirSync(path.dirname(target), { recursive: true });
    writeFileSync(target, text);
  }
  for (const file of strays) rmSync(path.join(root, file));
}
