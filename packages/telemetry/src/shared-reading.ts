/** Scrapes closer together than this share one reading. */
const freshMs = 5000;
/** What does not answer must not cost the page: the default timeout of a scrape is 10 s. */
const readTimeoutMs = 5000;

/** What a page of metrics shows of another server: one reading for all who ask within 5 s, and one at a time; null where it fails or takes too long. */
export function sharedReading<Result>(work: () => Promise<Result>): () => Promise<Result | null> {
  let current: Promise<Result> | undefined;
  let goodUntil = 0;
  return async () => {
    if (current === undefined || performance.now() > goodUntil) {
      goodUntil = Number.POSITIVE_INFINITY;
      current = work();
      current.then(
        () => {
          goodUntil = performance.now() + freshMs;
        },
        () => {
          current = undefined;
        },
      );
    }
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(resolve, readTimeoutMs, null);
    });
    try {
      return await Promise.race([current.catch(() => null), late]);
    } finally {
      clearTimeout(timer);
    }
  };
}
