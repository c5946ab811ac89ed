import { ErrataError, type Export, type Publication } from '@errata/contracts';
import { sleep } from './transport.js';
import type { ErrataClient, WaitOptions } from './types.js';

const defaultPollMs = 500;

/** Polls an export until it has ended. @throws INTERNAL with its detail when it failed, CANCELLED */
export async function waitForExport(
  client: Pick<ErrataClient, 'getExport'>,
  started: Export,
  options: WaitOptions & { onProgress?: (now: Export) => void } = {},
): Promise<Export> {
  const ended = await poll(started, (now) => client.getExport(now.streamId, now.id, options), isOver, options);
  if (ended.status === 'done') return ended;
  const code = ended.status === 'cancelled' ? 'CANCELLED' : 'INTERNAL';
  throw new ErrataError(code, `the export ${ended.id} was ${ended.status}: ${ended.detail ?? 'no reason is known'}`);
}

/** Polls a publication until it has ended. */
export function waitForPublication(
  client: Pick<ErrataClient, 'getPublication'>,
  started: Publication,
  options: WaitOptions & { onProgress?: (now: Publication) => void } = {},
): Promise<Publication> {
  const look = (now: Publication) => client.getPublication(now.streamId, now.id, options);
  return poll(started, look, ({ status }) => status !== 'running', options);
}

function isOver({ status }: Export): boolean {
  return status !== 'queued' && status !== 'running';
}

async function poll<T>(
  started: T,
  look: (now: T) => Promise<T>,
  over: (now: T) => boolean,
  options: WaitOptions & { onProgress?: (now: T) => void },
): Promise<T> {
  for (let now = started; ; now = await look(now)) {
    options.onProgress?.(now);
    if (over(now)) return now;
    await sleep(options.pollMs ?? defaultPollMs, options.signal);
  }
}
