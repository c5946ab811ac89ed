/** A name out of a file that cannot be trusted, for a message: short, quoted, on one line. */
export function shown(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
}
