/** A text that tells a process from a later one with the same id; undefined when no such process runs. */
export function processIdentity(pid: number): string | undefined;
