import type { FleetOptions } from './fleet.js';
import type { Addressed } from './placement.js';

/** The logging of changes; a pino logger is one. */
export interface ChangeLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

const nameOf = { runtime: 'model runtime', worker: 'shard worker' } as const;

/**
 * Writes a line when a server goes or comes back.
 * @param note told of every change as well, and of the beginning
 */
export function logChanges(
  log: ChangeLog,
  kind: keyof typeof nameOf,
  note: (address: string, up: boolean) => void = () => {},
): FleetOptions<Addressed>['onChange'] {
  return (address, up, reason) => {
    note(address, up);
    if (reason === 'start') return;
    log[up ? 'info' : 'warn']({ [kind]: address, up, reason }, `${nameOf[kind]} is ${up ? 'up' : 'down'}`);
  };
}
