import type { PositionRequest } from '@errata/client';
import { type Command, Option } from 'commander';
import { UsageError } from '../failure.js';

/** What the options of a command say of a position. */
export interface PositionOptions {
  readonly seq?: number;
  readonly toSeq?: number;
  readonly checkpoint?: string;
  readonly at?: string;
  readonly before?: string;
}

const unitMs = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** A time as the API takes it: ISO 8601, or how long ago, such as `90m`. @throws UsageError */
export function timeOf(text: string, now: number): string {
  const ago = /^(\d{1,9})([smhd])$/.exec(text);
  const time = ago ? now - Number(ago[1]) * unitMs[ago[2] as keyof typeof unitMs] : Date.parse(text);
  if (Number.isFinite(time) && Math.abs(time) < 8.64e15) return new Date(time).toISOString();
  throw new UsageError(`--at ${text} is no time: write 2026-11-26T09:00:00Z, or how long ago as 30s, 90m, 2h, 1d`);
}

/** A number is a position, anything else the name of a checkpoint. */
export function positionOf(text: string): { seq: number } | { checkpoint: string } {
  return /^\d{1,15}$/.test(text) ? { seq: Number(text) } : { checkpoint: text };
}

/** The one position that an argument or the options name; null when none does. @throws UsageError when several do */
export function positionFrom(argument: string | undefined, options: PositionOptions): PositionRequest | null {
  const seq = options.seq ?? options.toSeq;
  const named: PositionRequest[] = [
    ...(argument === undefined ? [] : [positionOf(argument)]),
    ...(seq === undefined ? [] : [{ seq }]),
    ...(options.checkpoint === undefined ? [] : [{ checkpoint: options.checkpoint }]),
    ...(options.at === undefined ? [] : [{ at: timeOf(options.at, Date.now()) }]),
    ...(options.before === undefined ? [] : [{ before: options.before }]),
  ];
  if (named.length > 1) throw new UsageError('name the position in one way only');
  return named[0] ?? null;
}

/** Adds the options by which a position is named. */
export function addPositionOptions(command: Command, seqFlag: '--seq' | '--to-seq'): Command {
  return command
    .addOption(new Option(`${seqFlag} <seq>`, 'a position of the log; 0 is the unedited model').argParser(seqNumber))
    .option('--checkpoint <name>', 'a named position')
    .option('--at <time>', 'where the head was at a time: ISO 8601, or how long ago (30s, 90m, 2h, 1d)')
    .option('--before <edit>', 'what the batch of an edit was written on');
}

/** @throws UsageError */
export function seqNumber(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new UsageError(`${text} is no position: a whole number from 0`);
}
