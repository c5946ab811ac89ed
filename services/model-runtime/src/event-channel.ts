/**
 * Turns work that reports through a callback into an async sequence of what it reports. The work starts at once and is
 * never cut off by a slow reader; its error ends the sequence.
 */
export async function* eventChannel<Event>(
  work: (emit: (event: Event) => void) => Promise<void>,
): AsyncGenerator<Event> {
  const events: Event[] = [];
  let wake: () => void = () => undefined;
  let ended = false;
  let failure: { error: unknown } | null = null;
  const finished = work((event) => {
    events.push(event);
    wake();
  })
    .catch((error: unknown) => {
      failure = { error };
    })
    .then(() => {
      ended = true;
      wake();
    });
  for (;;) {
    while (events.length > 0) yield events.shift() as Event;
    if (ended) break;
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
  await finished;
  if (failure) throw (failure as { error: unknown }).error;
}
