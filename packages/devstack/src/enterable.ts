import { statSync } from 'node:fs';
import path from 'node:path';

const othersMayEnter = 0o001;

/**
 * Whether any user may enter a folder: every existing folder on the way down is open to others. Folders that do not
 * exist yet count as open, for they are created so.
 */
export function enterableByAll(folder: string): boolean {
  for (let at = path.resolve(folder); ; at = path.dirname(at)) {
    try {
      if ((statSync(at).mode & othersMayEnter) === 0) return false;
    } catch {}
    if (at === path.dirname(at)) return true;
  }
}
