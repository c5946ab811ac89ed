import type { FleetOptions, MemberState } from './fleet.js';
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
  note: (address: string, state: MemberState) => void = () => {},
): FleetOptions<Addressed>['onChange'] {
  return (address, state, reason) => {
    note(address, state);
    if (reason === 'start') return;
    const message = `${nameOf[kind]} ${state === 'left' ? 'has left' : `is ${state}`}`;
    log[state === 'down' ? 'warn' : 'info']({ [kind]: address, up: state === 'up', reason }, message);
  };
}
