import { ErrataError } from '@errata/contracts';
import type { Transaction } from './database.js';
import type { Stream } from './generated/client.js';

/**
 * Locks a stream until the transaction ends, so that its head, its sequence and its claims change one at a time.
 * NO KEY UPDATE: rows that refer to the stream may still be inserted meanwhile.
 * @throws ErrataError UNKNOWN_STREAM
 */
export async function lockStream(tx: Transaction, streamId: string): Promise<Stream> {
  await tx.$queryRaw`SELECT id FROM streams WHERE id = ${streamId} FOR NO KEY UPDATE`;
  const stream = await tx.stream.findUnique({ where: { id: streamId } });
  if (!stream) throw unknownStream(streamId);
  return stream;
}

export function unknownStream(idOrName: string): ErrataError {
  return new ErrataError('UNKNOWN_STREAM', `no stream has the id or name ${JSON.stringify(idOrName)}`);
}

export function unknownPosition(streamId: string, seq: number, why = 'no committed batch has this seq'): ErrataError {
  return new ErrataError('UNKNOWN_POSITION', `stream ${streamId} at seq ${seq}: ${why}`);
}

/** A position whose tensors a collection removed. */
export function positionCollected(streamId: string, seq: number): ErrataError {
  return new ErrataError(
    'POSITION_COLLECTED',
    `stream ${streamId} at seq ${seq}: it was out of every lineage for longer than the retention and has been collected; choose a position of the head's lineage or a checkpoint`,
  );
}

const LARGEST_SEQ = 2 ** 31 - 1;

/** @throws ErrataError UNKNOWN_POSITION for a number that no batch can have */
export function assertSeq(streamId: string, seq: number): void {
  if (!Number.isInteger(seq) || seq < 0 || seq > LARGEST_SEQ)
    throw unknownPosition(streamId, seq, 'a position is a whole number from 0');
}

/** Locks a name among exports until the transaction ends: of two that want one folder the second sees the first. */
export async function lockDestination(tx: Transaction, destination: string): Promise<void> {
  await tx.$queryRaw`SELECT 1 FROM pg_advisory_xact_lock(hashtextextended(${`export ${destination}`}, 0))`;
}
