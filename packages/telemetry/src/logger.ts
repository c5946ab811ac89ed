import { type Logger as PinoLogger, pino } from 'pino';

export type Logger = PinoLogger;

/**
 * A logger that writes one JSON line a record to stdout.
 * @param service name of the process, a field of every line
 */
export function createLogger(service: string, level = 'info'): Logger {
  return pino({ level, base: { service }, timestamp: pino.stdTimeFunctions.isoTime });
}
