/** A process of a stack: enough to find it again and to end it. */
export interface LedgerEntry {
  readonly name: string;
  readonly pid: number;
  readonly identity: string | undefined;
  /** What asks it to end. */
  readonly signal: NodeJS.Signals;
}
/** Notes the processes of a stack, last started last. */
export function writeLedger(file: string, processes: readonly LedgerEntry[]): void;
export function readLedger(file: string): LedgerEntry[];
/** Ends the processes of a ledger that still run and returns their names. */
export function endLedger(file: string, graceMilliseconds?: number): Promise<string[]>;
