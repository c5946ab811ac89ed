import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { filesBelow } from './stamp.mjs';

/** What differs between two folders, one text a file; empty when they are the same. */
export function treeDifferences(committed, fresh) {
  const names = (folder) =>
    new Set(existsSync(folder) ? filesBelow(folder).map((file) => path.relative(folder, file)) : []);
  const [before, after] = [names(committed), names(fresh)];
  const differences = [];
  for (const name of [...new Set([...before, ...after])].sort()) {
    const file = path.join(committed, name);
    if (!before.has(name)) differences.push(`${file} is missing`);
    else if (!after.has(name)) differences.push(`${file} is no longer generated`);
    else if (!readFileSync(file).equals(readFileSync(path.join(fresh, name))))
      differences.push(`${file} is out of date`);
  }
  return differences;
}
