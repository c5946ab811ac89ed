import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { findProgram, run } from './process.mjs';

/** What CUDA 12.5 and the kernels that TensorFlow 2.18 is built with need. */
export const needs = {
  /** Every CUDA 12 runs on it (NVIDIA's minor version compatibility). */
  driver: [525, 60],
  /** Cards newer than 8.9 get kernels compiled by the driver, from PTX of CUDA 12.5. */
  driverFromPtx: [555, 42],
  capability: 6.0,
  compiledUpTo: 8.9,
};

const libraryFolders = [
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib64',
  '/usr/lib',
  '/usr/lib/wsl/lib',
  '/usr/local/nvidia/lib64',
];

/** Whether the driver's library is where the loader looks. */
function libraryThere(env) {
  const named = (env.LD_LIBRARY_PATH ?? '').split(path.delimiter).filter(path.isAbsolute);
  const listed = () => {
    try {
      return readFileSync('/etc/ld.so.cache').includes('libcuda.so.1\0');
    } catch {
      return false;
    }
  };
  return [...named, ...libraryFolders].some((folder) => existsSync(path.join(folder, 'libcuda.so.1'))) || listed();
}

/** Name, driver, capability and memory of each card as `nvidia-smi` prints them; undefined where it cannot be asked. */
async function askedCards(env) {
  const program = findProgram('nvidia-smi', env);
  if (program === undefined) return undefined;
  try {
    const query = '--query-gpu=name,driver_version,compute_cap,memory.total';
    return parseCards(await run(program, [query, '--format=csv,noheader'], { env, timeout: 20_000 }));
  } catch {
    return undefined;
  }
}

export function parseCards(text) {
  return text
    .split('\n')
    .map((line) => line.split(',').map((field) => field.trim()))
    .filter((fields) => fields.length === 4)
    .map(([name, driver, capability, memory]) => ({ name, driver, capability: Number(capability), memory }));
}

/** What this machine has of NVIDIA's. */
export async function findNvidia(env = process.env) {
  return { library: libraryThere(env), cards: await askedCards(env) };
}

function older(driver, [major, minor]) {
  const [a, b] = driver.split('.').map(Number);
  return a < major || (a === major && b < minor);
}

/**
 * Whether the CUDA build can compute on a card here.
 * @returns what was found, for people, and what is missing with what to do, or nothing where all is there
 */
export function judgeNvidia({ library, cards }) {
  const check = 'nvidia-smi shows the driver, compute capability and memory';
  const least = `driver ${needs.driver.join('.')} or newer (${needs.driverFromPtx.join('.')} for cards newer than ${needs.compiledUpTo})`;
  if (!library)
    return {
      found: 'no NVIDIA driver: libcuda.so.1 is not found',
      missing: `Install ${least}; in a container, start it with the NVIDIA runtime (--gpus all). ${check}.`,
    };
  if (cards === undefined || cards.length === 0)
    return {
      found: cards === undefined ? 'libcuda.so.1, but nvidia-smi does not answer' : 'a driver, but no card',
      missing: `Load the kernel module, or give the container a card (--gpus all). ${check}.`,
    };
  const found = cards
    .map(
      ({ name, driver, capability, memory }) =>
        `${name}, driver ${driver}, compute capability ${capability.toFixed(1)}, ${memory}`,
    )
    .join('; ');
  const usable = cards.filter(({ capability }) => capability >= needs.capability);
  if (usable.length === 0)
    return { found, missing: `A card of compute capability ${needs.capability.toFixed(1)} or newer is needed.` };
  const { driver } = usable[0];
  const wanted = usable.some(({ capability }) => capability > needs.compiledUpTo) ? needs.driverFromPtx : needs.driver;
  if (older(driver, wanted)) return { found, missing: `Install driver ${wanted.join('.')} or newer. ${check}.` };
  return { found };
}
