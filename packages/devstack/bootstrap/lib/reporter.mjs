const refreshMilliseconds = 200;
const plainProgressMilliseconds = 10_000;

/** Bytes as megabytes with one decimal. */
export function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/**
 * Shows what set-up does: on a terminal one live line for each running step, elsewhere plain lines at its start, every
 * ten seconds and at its end. Steps that were already done show nothing.
 */
export function createReporter(stream = process.stderr) {
  const live = stream.isTTY === true;
  const steps = new Set();
  let drawn = 0;
  let timer;

  const seconds = (step) => `${((performance.now() - step.begun) / 1000).toFixed(1)} s`;
  const line = (mark, step, size) =>
    `${mark} ${step.title.padEnd(38)} ${(size ?? '').padStart(19)} ${seconds(step).padStart(9)}`;
  const sizeOf = (step) => {
    if (step.done === undefined) return step.detail;
    return step.total === undefined ? megabytes(step.done) : `${megabytes(step.done)} / ${megabytes(step.total)}`;
  };
  const clear = () => {
    if (drawn > 0) stream.write(`\x1b[${drawn}A\x1b[J`);
    drawn = 0;
  };
  const draw = () => {
    if (!live) return;
    clear();
    const width = Math.max(40, (stream.columns ?? 80) - 1);
    for (const step of steps) stream.write(`${line('…', step, sizeOf(step)).slice(0, width)}\n`);
    drawn = steps.size;
  };
  const print = (text) => {
    clear();
    stream.write(`${text}\n`);
    draw();
  };
  const tick = () => {
    if (live) return draw();
    for (const step of steps) {
      if (performance.now() - step.shown < plainProgressMilliseconds) continue;
      step.shown = performance.now();
      stream.write(`${line('…', step, sizeOf(step))}\n`);
    }
  };

  return {
    /** A line of its own. */
    note: print,
    /** Begins a step; the answer reports its progress and its end. */
    begin(title) {
      const step = { title, begun: performance.now(), shown: performance.now() };
      steps.add(step);
      timer ??= setInterval(tick, refreshMilliseconds).unref();
      if (live) draw();
      else stream.write(`… ${title}\n`);
      const end = (mark, size) => {
        steps.delete(step);
        print(line(mark, step, size));
        if (steps.size > 0) return;
        clearInterval(timer);
        timer = undefined;
      };
      return {
        /** Bytes so far, of how many. */
        bytes(done, total) {
          step.done = done;
          step.total = total;
        },
        detail(text) {
          step.detail = text;
        },
        done: (size) => end('✓', size),
        failed: () => end('✗', 'failed'),
      };
    },
  };
}

/** Runs one step of set-up with its line. `work` gets the step and may return the text of the size column. */
export async function reported(reporter, title, work) {
  const step = reporter.begin(title);
  try {
    const result = await work(step);
    step.done(typeof result === 'string' ? result : undefined);
  } catch (error) {
    step.failed();
    throw error;
  }
}
