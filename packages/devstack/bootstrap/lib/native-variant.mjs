import { statfsSync } from 'node:fs';
import path from 'node:path';
import { cudaBytes, cudaLibraries, cudaTensorflow } from './cuda-pins.mjs';
import { SetupError } from './errors.mjs';
import { wheelFile, wheels } from './pins.mjs';
import { readStamp, writeStamp } from './stamp.mjs';
import { wheelPresent } from './wheel.mjs';

/** What the native engine is built against: the library, and further libraries that are put beside it. */
export const variants = {
  cpu: { name: 'cpu', tensorflow: wheels.tensorflow, libraries: [] },
  cuda: { name: 'cuda', tensorflow: cudaTensorflow, libraries: cudaLibraries },
};

/**
 * Which one a checkout is to have: what is asked for now, else what ERRATA_CUDA says, else what was asked for last.
 * @param asked `cpu`, `cuda` or undefined
 * @param setup folder of the checkout's notes
 */
export function chooseVariant({ asked, env = process.env, setup }) {
  const { ERRATA_CUDA: named } = env;
  if (named !== undefined && !['', '0', '1'].includes(named))
    throw new SetupError(`ERRATA_CUDA is ${JSON.stringify(named)}`, { remedy: 'Set it to 1 for CUDA, 0 for the CPU.' });
  const said = named === '1' ? 'cuda' : named === '0' ? 'cpu' : undefined;
  return variants[asked ?? said ?? readStamp(noteFile(setup))] ?? variants.cpu;
}

const noteFile = (setup) => path.join(setup, 'native-variant');

/** Makes later set-ups of this checkout keep to a variant that was asked for. */
export function rememberVariant(setup, variant) {
  if (readStamp(noteFile(setup)) !== variant.name) writeStamp(noteFile(setup), variant.name);
}

export function missingLibraries(cache, variant) {
  return [variant.tensorflow, ...variant.libraries].filter((wheel) => !wheelPresent(cache, wheel));
}

/** @throws SetupError where CUDA was asked for and cannot be: it is never quietly another engine */
export function checkCuda({ cache, variant, platform = process.platform, arch = process.arch, free = freeBytes }) {
  if (variant.name !== 'cuda') return;
  if (wheelFile(variant.tensorflow, platform, arch) === undefined)
    throw new SetupError(`the CUDA library is not pinned for ${platform}-${arch}: there it is for linux-x64 alone`, {
      remedy:
        'Run `npm run setup -- --cpu` for the CPU library, or set ERRATA_ENGINE=webgpu to use a card through Vulkan.',
    });
  const missing = missingLibraries(cache, variant).length;
  if (missing === 0) return;
  const wanted = (cudaBytes * missing) / (1 + variant.libraries.length);
  const there = free(cache);
  if (there < wanted)
    throw new SetupError(
      `the CUDA libraries need ${(wanted / 1e9).toFixed(1)} GB below ${cache}, and ${(there / 1e9).toFixed(1)} GB are free`,
      { remedy: 'Make room, or set XDG_CACHE_HOME to a folder on another disk.' },
    );
}

function freeBytes(folder) {
  for (let at = folder; ; at = path.dirname(at)) {
    try {
      const { bavail, bsize } = statfsSync(at);
      return bavail * bsize;
    } catch (error) {
      if (at === path.dirname(at)) throw error;
    }
  }
}
