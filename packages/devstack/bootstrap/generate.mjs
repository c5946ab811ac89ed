import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setUpOrExit } from './lib/entry.mjs';
import { describeFailure } from './lib/errors.mjs';
import { toolEnvironment } from './lib/package-manager.mjs';
import { cacheDir, repoRoot } from './lib/paths.mjs';
import { run } from './lib/process.mjs';
import { treeDifferences } from './lib/tree-diff.mjs';

const check = process.argv.includes('--check');
const tool = (name) => path.join(repoRoot, 'node_modules', '.bin', name);
const inRepo = (...parts) => path.join(repoRoot, ...parts);

// Generated sources are part of the build, so set-up must not run first: only what generation itself needs is asked for.
if (!existsSync(tool('buf')) || !existsSync(tool('prisma'))) await setUpOrExit();

const env = {
  ...toolEnvironment(cacheDir()),
  PATH: `${inRepo('node_modules', '.bin')}${path.delimiter}${process.env.PATH ?? ''}`,
  PRISMA_SCHEMA_ENGINE_BINARY: inRepo('packages', 'devstack', 'bootstrap', 'lib', 'noop-engine.mjs'),
  PRISMA_HIDE_UPDATE_MESSAGE: '1',
  CHECKPOINT_DISABLE: '1',
};
const options = { cwd: repoRoot, env };
const remedy = 'Run `npm run generate` and commit what it writes.';

const protobufs = (folder) => run(tool('buf'), ['generate', '--output', folder], { ...options, title: 'buf generate' });
const prismaClient = (schema) =>
  run(tool('prisma'), ['generate', '--schema', schema], { ...options, title: 'prisma generate' });

/** What deploy/ is generated from is TypeScript of this workspace and needs nothing else that is generated. */
async function deployment(...flags) {
  await run(tool('tsc'), ['-b', inRepo('packages', 'deploy')], { ...options, title: 'tsc -b packages/deploy' });
  const program = inRepo('packages', 'deploy', 'dist', 'generate.js');
  return run(process.execPath, [program, ...flags], { ...options, title: 'the generation of deploy/' });
}

async function checked(title, work) {
  try {
    const problems = (await work()) ?? [];
    for (const problem of problems) console.error(`  ${problem}`);
    console.error(`${problems.length === 0 ? 'ok  ' : 'FAIL'} ${title}${problems.length === 0 ? '' : `. ${remedy}`}`);
    return problems.length === 0;
  } catch (error) {
    console.error(`FAIL ${title}\n${describeFailure(error)}`);
    return false;
  }
}

async function checkAll() {
  mkdirSync(inRepo('.errata'), { recursive: true });
  // Inside the checkout, laid out as the checkout is: relative paths in generated files then come out the same.
  const folder = mkdtempSync(inRepo('.errata', 'generate-'));
  try {
    const results = [
      await checked('protobufs are well formed (buf lint)', async () => {
        await run(tool('buf'), ['lint'], { ...options, title: 'buf lint' });
      }),
      await checked('generated gRPC code matches proto/', async () => {
        await protobufs(folder);
        const generated = path.join('packages', 'rpc', 'src', 'generated');
        return treeDifferences(generated, path.join(folder, generated));
      }),
      await checked('generated Prisma client matches prisma/schema.prisma', async () => {
        const schema = path.join(folder, 'prisma', 'schema.prisma');
        mkdirSync(path.dirname(schema));
        copyFileSync(inRepo('prisma', 'schema.prisma'), schema);
        await prismaClient(schema);
        const generated = path.join('packages', 'store', 'src', 'generated');
        return treeDifferences(generated, path.join(folder, generated));
      }),
      await checked('generated dashboards and rules of deploy/ match packages/deploy', async () => {
        const stale = await deployment('--check');
        return stale.split('\n').filter((line) => line !== '');
      }),
      await checked('Prisma schema matches prisma/migrations', async () => {
        await run(process.execPath, [inRepo('packages', 'store', 'tools', 'check-schema.mjs')], {
          ...options,
          title: 'the comparison of schema and migrations',
        });
      }),
    ];
    return results.every(Boolean);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

process.chdir(repoRoot);
if (check) process.exitCode = (await checkAll()) ? 0 : 1;
else {
  try {
    await protobufs(repoRoot);
    await prismaClient(inRepo('prisma', 'schema.prisma'));
    await deployment();
    console.error('generated packages/rpc/src/generated, packages/store/src/generated and parts of deploy/');
  } catch (error) {
    console.error(describeFailure(error));
    process.exitCode = 1;
  }
}
