import { existsSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import path from 'node:path';
import { importsOf } from './imports.mjs';
import { filesBelow } from './stamp.mjs';
import { workspaceFolders } from './workspace.mjs';

/** The packages of this workspace that each may depend on. Rows read downward: nothing may depend on a row above it. */
const allowed = {
  '@errata/gateway': ['contracts', 'editor', 'export', 'objects', 'rpc', 'store', 'telemetry', 'workflows'],
  '@errata/orchestrator': ['contracts', 'objects', 'rpc', 'store', 'telemetry', 'workflows'],
  '@errata/model-runtime': ['contracts', 'editor', 'export', 'model', 'objects', 'rpc', 'store', 'telemetry', 'tensor'],
  '@errata/shard-worker': ['contracts', 'objects', 'rls', 'rpc', 'store', 'telemetry', 'tensor'],
  '@errata/workflows': ['contracts'],
  '@errata/cli': [
    'client',
    'contracts',
    'deploy',
    'devstack',
    'editor',
    'export',
    'model',
    'objects',
    'rls',
    'rpc',
    'telemetry',
    'tensor',
  ],
  '@errata/deploy': [],
  '@errata/devstack': ['contracts', 'store'],
  '@errata/evaluation': ['client', 'contracts', 'editor', 'model', 'rls', 'tensor'],
  '@errata/editor': ['contracts', 'model', 'tensor'],
  '@errata/export': ['contracts', 'model', 'tensor'],
  '@errata/client': ['contracts'],
  '@errata/rpc': ['contracts'],
  '@errata/store': ['contracts'],
  '@errata/rls': ['contracts', 'tensor'],
  '@errata/model': ['contracts', 'tensor'],
  '@errata/tensor': ['contracts'],
  '@errata/objects': ['contracts'],
  '@errata/telemetry': [],
  '@errata/contracts': [],
};

const databasePackages = /^(@prisma\/|prisma$|pg$|pg-)/;
const workflowPackages = ['@temporalio/workflow', '@temporalio/common'];
const builtins = new Set(builtinModules);
const sourceFile = /\.(ts|mts|mjs|js)$/;
/** Tests, and what only tests import. */
const testFile = /\.test\.ts$|\/src\/testing\//;

/** Name of the package a bare specifier belongs to. */
function packageOf(specifier) {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

function checkWorkspaceImport({ name, specifier, typeOnly, test, surfaces }) {
  const target = packageOf(specifier);
  const problems = [];
  if (specifier !== target && !surfaces.has(specifier))
    problems.push(`reaches into ${target}: only its public surface may be imported`);
  if (!allowed[name].includes(target.slice('@errata/'.length)))
    problems.push(`imports ${target}, which ${name} may not depend on`);
  if (name === '@errata/workflows' && !test && !typeOnly)
    problems.push(`imports ${target} as a value: workflow code may import only its types (import type)`);
  return problems;
}

/** The rules that one import of one file breaks. */
function checkImport({ folder, file, manifest, rootManifest, surfaces, specifier, typeOnly }) {
  const { name } = manifest;
  const test = testFile.test(file);
  if (specifier.startsWith('.')) {
    const inside = path.relative(folder, path.resolve(path.dirname(file), specifier));
    return inside.startsWith('..') ? [`leaves its package through ${specifier}`] : [];
  }
  if (specifier.startsWith('node:') || builtins.has(specifier))
    return name === '@errata/workflows' && !test ? [`imports ${specifier}: workflow code must be deterministic`] : [];
  const target = packageOf(specifier);
  const problems = [];
  if (target !== name) {
    const known = { ...manifest.dependencies, ...manifest.peerDependencies };
    if (test) Object.assign(known, manifest.devDependencies, rootManifest.devDependencies);
    else if (typeOnly) Object.assign(known, manifest.devDependencies, typesOf(rootManifest));
    if (known[target] === undefined) problems.push(`imports ${target}, which ${name} does not declare`);
  }
  if (target.startsWith('@errata/') && target !== name)
    problems.push(...checkWorkspaceImport({ name, specifier, typeOnly, test, surfaces }));
  if (databasePackages.test(target) && name !== '@errata/store')
    problems.push(`imports ${target}: only @errata/store talks to the database`);
  if (name === '@errata/workflows' && !test && !target.startsWith('@errata/') && !workflowPackages.includes(target))
    problems.push(`imports ${target}: workflow code may import only ${workflowPackages.join(' and ')}`);
  return problems;
}

/** Packages whose types the root provides as `@types/x`. */
function typesOf(rootManifest) {
  const provided = {};
  for (const [name, version] of Object.entries(rootManifest.devDependencies ?? {}))
    if (name.startsWith('@types/')) provided[name.slice('@types/'.length)] = version;
  return provided;
}

/** Subpaths that packages export beside their index, as they are imported. */
function declaredSubpaths(manifests) {
  return new Set(
    manifests.flatMap(({ name, exports = {} }) =>
      Object.keys(exports)
        .filter((subpath) => subpath !== '.')
        .map((subpath) => `${name}${subpath.slice(1)}`),
    ),
  );
}

function checkManifest(manifest) {
  if (allowed[manifest.name] === undefined)
    return [`${manifest.name} has no row in the table of packages/devstack/bootstrap/lib/boundaries.mjs`];
  return Object.keys({ ...manifest.dependencies, ...manifest.devDependencies })
    .filter((name) => name.startsWith('@errata/') && !allowed[manifest.name].includes(name.slice('@errata/'.length)))
    .map((name) => `${manifest.name} declares ${name}, which it may not depend on`);
}

/** Every breach of the import boundaries in the workspace at `root`, one text each. */
export function boundaryProblems(root) {
  const readManifest = (folder) => JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
  const rootManifest = readManifest(root);
  const problems = [];
  const surfaces = declaredSubpaths(workspaceFolders(root).map(readManifest));
  for (const folder of workspaceFolders(root)) {
    const manifest = readManifest(folder);
    const faults = checkManifest(manifest);
    problems.push(...faults);
    const source = path.join(folder, 'src');
    if (allowed[manifest.name] === undefined || !existsSync(source)) continue;
    for (const file of filesBelow(source, ['generated', 'node_modules']).filter((name) => sourceFile.test(name)))
      for (const { specifier, typeOnly, line } of importsOf(readFileSync(file, 'utf8')))
        for (const fault of checkImport({ folder, file, manifest, rootManifest, surfaces, specifier, typeOnly }))
          problems.push(`${path.relative(root, file)}:${line} ${fault}`);
  }
  return problems;
}
