import { existsSync } from 'node:fs';
import { UsageError } from '../failure.js';

/**
 * The Python to compare with: the option's (which has to be there), ERRATA_PYTHON's, else python3 on the PATH.
 * @param option a path, or a command without a slash
 * @throws UsageError when the option names a file that is not there
 */
export function choosePython(option: string | undefined, env: Readonly<Record<string, string | undefined>>): string {
  if (option === undefined) return env.ERRATA_PYTHON ?? 'python3';
  if (option.includes('/') && !existsSync(option)) throw new UsageError(`--python: there is no ${option}`);
  return option;
}
