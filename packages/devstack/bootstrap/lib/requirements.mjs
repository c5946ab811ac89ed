import { pipVersion } from './download.mjs';
import { SetupError } from './errors.mjs';
import { findProgram } from './process.mjs';

const leastNode = [20, 19];

/** @throws SetupError when this Node is older than the workspace needs */
export function checkNode(version = process.versions.node) {
  const [major, minor] = version.split('.').map(Number);
  if (major > leastNode[0] || (major === leastNode[0] && minor >= leastNode[1])) return;
  throw new SetupError(`Node ${version} is too old: ${leastNode.join('.')} or newer is needed`, {
    remedy: 'Install a current Node from https://nodejs.org or with your version manager (nvm install 22).',
  });
}

export function checkPlatform(platform = process.platform) {
  if (platform === 'win32')
    throw new SetupError('Windows is not supported directly', {
      remedy: 'Run the same command inside WSL (wsl --install), where everything works as on Linux.',
    });
}

/** The Python that downloads wheels, or undefined where python3 or its pip is missing. */
export async function findPython() {
  const python = findProgram('python3') ?? findProgram('python');
  if (python === undefined || (await pipVersion(python)) === undefined) return undefined;
  return python;
}

export function findCompiler(env = process.env) {
  return (env.CXX === undefined ? undefined : findProgram(env.CXX, env)) ?? findProgram('g++', env);
}

/** What to install for a missing program. */
export const remedies = {
  npm: 'npm comes with Node; install Node from https://nodejs.org, or: apt install npm',
  python:
    'Install Python 3 with pip: apt install python3 python3-pip (Debian, Ubuntu), dnf install python3-pip (Fedora), brew install python (macOS)',
  compiler: 'g++ (apt install g++, dnf install gcc-c++) makes it several times faster',
};
