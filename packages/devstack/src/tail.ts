import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** What a file holds from a byte position on, at most its last `limit` bytes; empty when there is no such file. */
export function readFrom(file: string, position: number, limit = 256 * 1024): string {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch {
    return '';
  }
  try {
    const { size } = fstatSync(descriptor);
    const from = Math.max(position, size - limit);
    const buffer = Buffer.alloc(Math.max(0, size - from));
    const read = readSync(descriptor, buffer, 0, buffer.length, from);
    return buffer.toString('utf8', 0, read);
  } finally {
    closeSync(descriptor);
  }
}

/** The last lines that are not blank. */
export function lastLines(text: string, count = 12): string[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .slice(-count);
}
