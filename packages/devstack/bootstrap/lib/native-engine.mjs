import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { SetupError } from './errors.mjs';
import { withLock } from './lock.mjs';
import { repoRoot, setupDir } from './paths.mjs';
import { wheelFile } from './pins.mjs';
import { run } from './process.mjs';
import { reported } from './reporter.mjs';
import { contentKey, filesBelow, readStamp, writeStamp } from './stamp.mjs';
import { installWheel, unzip } from './wheel.mjs';

const remedy = 'To go on without the native engine (slower), set ERRATA_ENGINE=wasm and run the same command again.';
const libraries = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'];

/** Newest N-API level that tfjs-node's loader looks for. */
const napiVersion = Math.min(8, Number(process.versions.napi));

/** Whether a native engine can be built for this platform at all. */
export function nativeSupported({ tensorflow }) {
  return wheelFile(tensorflow) !== undefined;
}

function packageFolders() {
  const modules = path.join(repoRoot, 'packages', 'tensor', 'node_modules');
  return {
    binding: path.join(modules, '@tensorflow', 'tfjs-node-gpu'),
    headers: path.join(modules, 'node-api-headers'),
  };
}

const bindingFile = (folder) => path.join(folder, 'lib', `napi-v${napiVersion}`, 'tfjs_binding.node');
const stampFile = () => path.join(setupDir(), 'native');
const stampText = (cache, { tensorflow }) =>
  [cache, tensorflow.folder, `napi${napiVersion}`, process.arch, kernelKey()].join(' ');

/** Whether the binding in this checkout is built and its library is in place. */
export function nativePresent(cache, variant) {
  const { binding } = packageFolders();
  return (
    existsSync(bindingFile(binding)) &&
    [...libraries, ...variant.libraries.map(({ library }) => library)].every((name) =>
      existsSync(path.join(binding, 'deps', 'lib', name)),
    ) &&
    readStamp(stampFile()) === stampText(cache, variant)
  );
}

/** Brings the C library and its headers out of the pinned TensorFlow wheel. */
export function installTensorflow({ cache, python, reporter, wheel }) {
  return installWheel({
    wheel,
    cache,
    python,
    reporter,
    fill: async (source, folder) => {
      await unzip(python, source, folder, [
        [
          'tensorflow/include/((?:tensorflow/c/|tensorflow/core/platform/ctstring|tsl/platform/ctstring|xla/tsl/c/|tsl/c/|tsl/platform/platform|tensorflow/core/common_runtime/next_pluggable_device/c/).*\\.h)',
          'include/\\1',
        ],
        ['tensorflow/(libtensorflow_(?:cc|framework)\\.so\\.2)', 'lib/\\1'],
        ['tensorflow(?:_cpu)?-[^/]*/LICENSE.*|tensorflow(?:_cpu)?-[^/]*/licenses/.*', 'LICENSE'],
      ]);
      for (const name of libraries)
        if (!existsSync(path.join(folder, 'lib', name)))
          throw new SetupError(`${path.basename(source)} does not hold ${name}`, { remedy });
      symlinkSync('libtensorflow_cc.so.2', path.join(folder, 'lib', 'libtensorflow.so'));
      symlinkSync('libtensorflow_framework.so.2', path.join(folder, 'lib', 'libtensorflow_framework.so'));
      writeFileSync(path.join(folder, '.complete'), '');
    },
  });
}

/** Brings the shared libraries out of a wheel of NVIDIA's. */
export function installLibraries({ cache, python, reporter, wheel }) {
  return installWheel({
    wheel,
    cache,
    python,
    reporter,
    fill: async (source, folder) => {
      await unzip(python, source, folder, [
        ['nvidia/[^/]+/lib/([^/]+\\.so[.0-9]*)', 'lib/\\1'],
        ['[^/]+\\.dist-info/(?:licenses/)?(License[^/]*)', '\\1'],
      ]);
      if (!existsSync(path.join(folder, 'lib', wheel.library)))
        throw new SetupError(`${path.basename(source)} does not hold ${wheel.library}`, { remedy });
      writeFileSync(path.join(folder, '.complete'), '');
    },
  });
}

/** Links to all libraries of a variant in one folder: each of them looks for the others beside itself. */
function linkLibraries(folder, cache, { tensorflow, libraries: others }) {
  if (others.length === 0) {
    symlinkSync(path.join(cache, tensorflow.folder, 'lib'), folder);
    return;
  }
  mkdirSync(folder);
  for (const wheel of [tensorflow, ...others]) {
    const from = path.join(cache, wheel.folder, 'lib');
    for (const name of readdirSync(from)) symlinkSync(path.join(from, name), path.join(folder, name));
  }
}

/** Own kernels, compiled into the binding. */
function kernelSources() {
  return filesBelow(path.join(repoRoot, 'packages', 'tensor', 'native'));
}

/** Loops of the kernels are written to be vectorised; their arithmetic needs neither errno nor traps. */
const optimisations = ['-O3', '-fopenmp-simd', '-ffp-contract=fast', '-fno-math-errno', '-fno-trapping-math'];

/** Node unloads a module with the last thread that has it, but TensorFlow keeps the kernels. */
const kept = '-Wl,-z,nodelete';

const kernelKey = () => contentKey(repoRoot, kernelSources(), [...optimisations, kept]).slice(0, 16);

async function compile({ compiler, binding, headers, tensorflow, output }) {
  const sources = ['tfjs_backend.cc', 'tfjs_binding.cc'].map((name) => path.join(binding, 'binding', name));
  sources.push(...kernelSources().filter((name) => name.endsWith('.cc')));
  await run(
    compiler,
    [
      ...[
        '-shared',
        '-fPIC',
        '-std=c++17',
        '-w',
        ...optimisations,
        `-DNAPI_VERSION=${napiVersion}`,
        '-DBUILDING_NODE_EXTENSION',
      ],
      ...['-DNODE_GYP_MODULE_NAME=tfjs_binding', '-I', path.join(headers, 'include')],
      ...['-I', path.join(tensorflow, 'include'), ...sources, '-L', path.join(tensorflow, 'lib')],
      ...['-ltensorflow', '-ltensorflow_framework', kept, '-Wl,-rpath,$ORIGIN/../../deps/lib', '-o', output],
    ],
    { title: 'compiling the native tensor engine', remedy },
  );
}

const smokeTest = `
const tf = require(process.argv[1]);
const a = tf.tensor2d([[4, 2], [2, 3]]);
if (tf.getBackend() !== 'tensorflow') throw new Error('backend is ' + tf.getBackend());
const { binding } = tf.backend();
const type = [{ name: 'T', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT }];
const factor = tf.backend().executeSingleOutput('Cholesky', type, [a]);
const error = tf.matMul(factor, factor, false, true).sub(a).abs().max().dataSync()[0];
if (!(error < 1e-5)) throw new Error('Cholesky is off by ' + error);
`;

/** tfjs-node calls two functions of node:util that Node 23 removed. */
const utilPatch = `
const util = require('node:util');
util.isNullOrUndefined ??= (value) => value === null || value === undefined;
util.isArray ??= Array.isArray;
`;

/**
 * Builds tfjs-node's binding against the C library in the cache and links both into this checkout. The binding is kept
 * in the cache by the content of its sources, so that another checkout only copies it.
 */
export async function buildNative({ cache, compiler, reporter, variant }) {
  await reported(reporter, `native tensor engine${variant.name === 'cuda' ? ' (CUDA)' : ''}`, async (step) => {
    const folders = packageFolders();
    const binding = realpathSync(folders.binding);
    const headers = realpathSync(folders.headers);
    const tensorflow = path.join(cache, variant.tensorflow.folder);
    const version = (await run(compiler, ['--version'])).split('\n')[0];
    const inputs = [...filesBelow(path.join(binding, 'binding')), ...filesBelow(path.join(headers, 'include'))];
    const facts = [version, kernelKey(), variant.tensorflow.requirement, `napi${napiVersion}`, process.arch];
    const key = contentKey(binding, inputs, facts).slice(0, 16);
    const built = path.join(cache, 'native', `tfjs-binding-${key}`, 'tfjs_binding.node');
    await withLock(path.join(cache, 'locks', 'tfjs-binding.lock'), async () => {
      if (existsSync(built)) return;
      step.detail('compiling');
      const folder = path.dirname(built);
      const temporary = mkdtempSync(`${folder}.part-`);
      try {
        const output = path.join(temporary, 'tfjs_binding.node');
        await compile({ compiler, binding, headers, tensorflow, output });
        renameSync(temporary, folder);
      } finally {
        rmSync(temporary, { recursive: true, force: true });
      }
    });
    const deps = path.join(binding, 'deps');
    const fresh = mkdtempSync(`${deps}-`);
    symlinkSync(path.join(tensorflow, 'include'), path.join(fresh, 'include'));
    linkLibraries(path.join(fresh, 'lib'), cache, variant);
    rmSync(deps, { recursive: true, force: true });
    renameSync(fresh, deps);
    const installed = bindingFile(binding);
    mkdirSync(path.dirname(installed), { recursive: true });
    copyFileSync(built, `${installed}.${process.pid}`);
    renameSync(`${installed}.${process.pid}`, installed);
    step.detail('testing');
    await run(process.execPath, ['-e', utilPatch + smokeTest, folders.binding], {
      title: 'the first run of the native tensor engine',
      remedy,
      env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '2' },
    });
    writeStamp(stampFile(), stampText(cache, variant));
  });
}
