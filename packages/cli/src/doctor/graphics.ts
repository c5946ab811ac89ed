import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { findNvidia, judgeNvidia } from '@errata/devstack';
import type { Adapter } from '@errata/tensor';
import type { Finding } from './check.js';

const run = promisify(execFile);
const probeTimeoutMs = 30_000;

type Env = Readonly<Record<string, string | undefined>>;
type Judgement = ReturnType<typeof judgeNvidia>;

/** Looks for a WebGPU adapter in a process of its own: a driver that fails may take its process with it. */
export async function probeAdapter(): Promise<Adapter> {
  const tensor = import.meta.resolve('@errata/tensor');
  const program = `const { findAdapter } = await import(${JSON.stringify(tensor)}); console.log(JSON.stringify(await findAdapter()));`;
  try {
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', program], { timeout: probeTimeoutMs });
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Adapter;
  } catch (error) {
    return {
      missing: `looking for an adapter failed: ${error instanceof Error ? error.message.split('\n')[0] : error}`,
    };
  }
}

/** What this machine has of graphics cards, with the next step towards using one. */
export async function checkGraphics(env: Env, adapter: Adapter): Promise<Finding> {
  return graphicsFinding(judgeNvidia(await findNvidia({ ...env })), adapter, env);
}

export function graphicsFinding(nvidia: Judgement, adapter: Adapter, env: Env): Finding {
  const webgpu = 'missing' in adapter ? adapter.missing : adapter.description;
  const remedy = nextStep(nvidia, adapter, env);
  return {
    name: 'graphics card',
    state: 'ok',
    detail: `NVIDIA: ${nvidia.found}; WebGPU: ${webgpu}`,
    ...(remedy !== undefined && { remedy }),
  };
}

function nextStep(nvidia: Judgement, adapter: Adapter, env: Env): string | undefined {
  const card = !('missing' in adapter) && !adapter.software;
  const wants = env.ERRATA_ENGINE;
  if (nvidia.missing === undefined && wants !== 'webgpu')
    return 'for the native engine on this card: npm run setup -- --cuda (docs/operating.md, Use a GPU)';
  if (card && wants !== 'webgpu') return 'to compute on this card: ERRATA_ENGINE=webgpu (docs/operating.md, Use a GPU)';
  if (env.ERRATA_CUDA === '1') return nvidia.missing;
  return undefined;
}
