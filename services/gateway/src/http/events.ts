import type { Response } from 'express';

/**
 * Sends server-sent events, each a `data` line of JSON, then `[DONE]`. An error before the first event is thrown, for an
 * ordinary answer; after it, what `failure` makes of it is the last event. A client that has gone ends it without either.
 */
export async function sendEvents(
  response: Response,
  events: AsyncIterable<unknown>,
  failure: (error: unknown) => object,
): Promise<void> {
  const iterator = events[Symbol.asyncIterator]();
  let next = await iterator.next();
  response.writeHead(200, {
    'Content-Type': 'text/event-stream; charset=utf-8',
    // Proxies that gather answers, as nginx does, would hold the text back.
    'X-Accel-Buffering': 'no',
  });
  try {
    for (; !next.done; next = await iterator.next()) await send(response, JSON.stringify(next.value));
    await send(response, '[DONE]');
  } catch (error) {
    const last = failure(error);
    if (!response.destroyed) await send(response, JSON.stringify(last));
  } finally {
    await iterator.return?.();
    response.end();
  }
}

/** Resolves when the client has room for more, or has gone. */
async function send(response: Response, data: string): Promise<void> {
  if (response.write(`data: ${data}\n\n`) || response.destroyed) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      response.off('drain', done).off('close', done);
      resolve();
    };
    response.on('drain', done).on('close', done);
  });
}
