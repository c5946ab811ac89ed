import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { repoRoot } from './paths.mjs';

/** Folders of all packages of the workspace, as pnpm-workspace.yaml lists them. */
export function workspaceFolders(root = repoRoot) {
  const below = (name) => {
    const folder = path.join(root, name);
    return existsSync(folder) ? readdirSync(folder).map((entry) => path.join(folder, entry)) : [];
  };
  return [...below('packages'), ...below('services'), path.join(root, 'workflows')]
    .filter((folder) => existsSync(path.join(folder, 'package.json')))
    .sort();
}
