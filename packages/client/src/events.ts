import { ErrataError, isErrorCode, openAiErrorSchema } from '@errata/contracts';

/** The data of server-sent events (WHATWG HTML, section 9.2), however the bytes are cut. Leaving the loop ends the answer. */
export async function* eventData(body: ReadableStream<Uint8Array>): AsyncGenerator<string, void, undefined> {
  let rest = '';
  let data: string[] = [];
  for await (const text of body.pipeThrough(new TextDecoderStream() as never) as AsyncIterable<string>) {
    rest += text;
    // A carriage return at the end may be the first half of a line end.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '') {
        if (data.length > 0) yield data.join('\n');
        data = [];
      } else if (/^data(:|$)/.test(line)) data.push(line.replace(/^data:? ?/, ''));
    }
  }
}

/** The error that an event carries; undefined for other events. */
export function failureOf(event: unknown): ErrataError | undefined {
  if (typeof event !== 'object' || event === null || !('error' in event)) return undefined;
  const error = openAiErrorSchema.safeParse(event.error);
  if (!error.success) return new ErrataError('INTERNAL', `the answer ended with ${JSON.stringify(event.error)}`);
  const { code, message } = error.data;
  return new ErrataError(isErrorCode(code) ? code : 'INTERNAL', message);
}
