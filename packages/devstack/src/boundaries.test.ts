import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { boundaryProblems } from '../bootstrap/lib/boundaries.mjs';

let root: string;
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'errata-boundaries-'));
  writeFileSync(path.join(root, 'package.json'), JSON.stringify({ devDependencies: { vitest: '1' } }));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function plant(folder: string, name: string, dependencies: string[], files: Record<string, string>): void {
  const source = path.join(root, folder, 'src');
  mkdirSync(source, { recursive: true });
  const declared = Object.fromEntries(dependencies.map((dependency) => [dependency, '1']));
  writeFileSync(path.join(root, folder, 'package.json'), JSON.stringify({ name, dependencies: declared }));
  for (const [file, text] of Object.entries(files)) writeFileSync(path.join(source, file), text);
}

test('imports within the rules are accepted, and text that only looks like an import is ignored', () => {
  plant('packages/rls', '@errata/rls', ['@errata/tensor'], {
    'index.ts': `import { readFileSync } from 'node:fs';\nimport type {\n  Engine,\n} from '@errata/tensor';\nexport * from './step.js';
// import { x } from '@errata/model';\n/* import 'pg' */\nconst text = "import pg from 'pg'";\nconst template = \`\nimport 'pg';\n\`;`,
    'step.test.ts': `import { test } from 'vitest';`,
  });
  plant('workflows', '@errata/workflows', ['@errata/contracts', '@temporalio/workflow'], {
    'index.ts': `import type { Edit } from '@errata/contracts';\nimport { proxyActivities } from '@temporalio/workflow';`,
  });
  expect(boundaryProblems(root)).toEqual([]);
});

test('rls and model never import each other, declared or not', () => {
  plant('packages/rls', '@errata/rls', ['@errata/model'], { 'index.ts': `\nimport { Model } from '@errata/model';` });
  plant('packages/model', '@errata/model', [], { 'index.ts': `export { step } from '@errata/rls';` });
  expect(boundaryProblems(root)).toEqual(
    [
      '@errata/rls declares @errata/model, which it may not depend on',
      'packages/rls/src/index.ts:2 imports @errata/model, which @errata/rls may not depend on',
      'packages/model/src/index.ts:1 imports @errata/rls, which @errata/model does not declare',
      'packages/model/src/index.ts:1 imports @errata/rls, which @errata/model may not depend on',
    ].sort((a, b) => order(a) - order(b)),
  );
});

/** Packages are read in alphabetical order. */
const order = (problem: string) => (problem.includes('model/src') ? 0 : 1);

test.each([
  [`import pg from 'pg';`, 'imports pg: only @errata/store talks to the database'],
  [`const x = await import('@prisma/client');`, 'imports @prisma/client: only @errata/store talks to the database'],
])('the gateway may not reach the database itself: %s', (source, problem) => {
  plant('services/gateway', '@errata/gateway', ['pg', '@prisma/client'], { 'main.ts': source });
  expect(boundaryProblems(root)).toEqual([`services/gateway/src/main.ts:1 ${problem}`]);
});

test.each([
  [`import { z } from 'zod';`, 'imports zod, which @errata/client does not declare'],
  [`import { x } from '@errata/contracts/dist/http.js';`, 'reaches into @errata/contracts'],
  [`import { x } from '../../contracts/src/http.js';`, 'leaves its package through ../../contracts/src/http.js'],
  [`import { test } from 'vitest';`, 'imports vitest, which @errata/client does not declare'],
])('%s in the client is refused', (source, problem) => {
  plant('packages/contracts', '@errata/contracts', [], {});
  plant('packages/client', '@errata/client', ['@errata/contracts'], { 'index.ts': source });
  expect(boundaryProblems(root)).toHaveLength(1);
  expect(boundaryProblems(root)[0]).toContain(problem);
});

test.each([
  [`import { readFileSync } from 'node:fs';`, 'workflow code must be deterministic'],
  [`import { limits } from '@errata/contracts';`, 'as a value'],
  [`import { type Edit } from '@errata/contracts';`, 'as a value'],
  [`import { Client } from '@temporalio/client';`, 'workflow code may import only'],
])('%s in workflow code is refused', (source, problem) => {
  plant('workflows', '@errata/workflows', ['@errata/contracts', '@temporalio/client'], { 'index.ts': source });
  expect(boundaryProblems(root)).toHaveLength(1);
  expect(boundaryProblems(root)[0]).toContain(problem);
});

test('a package without a row in the table is refused', () => {
  plant('packages/mystery', '@errata/mystery', [], {});
  expect(boundaryProblems(root)[0]).toContain('@errata/mystery has no row in the table');
});
