import { existsSync } from 'node:fs';
import path from 'node:path';
import { cacheDir, repoRoot } from './paths.mjs';
import { wheels } from './pins.mjs';
import { findProgram } from './process.mjs';
import { prometheus } from './prometheus.mjs';
import { softwareVulkan } from './software-vulkan.mjs';
import { wheelOutput } from './wheel.mjs';

const present = (file) => (existsSync(file) ? file : undefined);

/** Where set-up has put the programs and the model; the environment and PATH come first. */
export function locateTools(env = process.env) {
  const cache = cacheDir(env);
  return {
    repoRoot,
    cacheDir: cache,
    modelName: env.MODEL_NAME ?? (env.MODEL_PATH || env.MODEL_RUNTIME ? undefined : 'SmolLM2-135M-Instruct'),
    // npm runs scripts in the root of the project; INIT_CWD is where it was called.
    modelPath: env.MODEL_PATH
      ? path.resolve(env.INIT_CWD ?? '.', env.MODEL_PATH)
      : present(wheelOutput(cache, wheels.model)),
    temporal: env.ERRATA_TEMPORAL ?? findProgram('temporal', env) ?? present(wheelOutput(cache, wheels.temporal)),
    testServer: env.ERRATA_TEST_SERVER ?? present(wheelOutput(cache, wheels.testServer)),
    prometheus: env.ERRATA_PROMETHEUS ?? present(prometheus(cache)) ?? findProgram('prometheus', env),
    softwareVulkan: env.ERRATA_TEST_VULKAN ?? present(softwareVulkan(cache)),
  };
}
