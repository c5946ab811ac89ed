/** Where people read along. With --json that is stderr, so that stdout holds the JSON line alone. */
export interface Output {
  readonly isTerminal: boolean;
  /** Width of the terminal in characters; undefined elsewhere. */
  readonly columns: number | undefined;
  line(text?: string): void;
  /** Replaces the live line on a terminal; elsewhere prints it when it says something new. */
  live(text: string): void;
  /** Ends the live line. */
  done(): void;
}

/** Output on a stream; plain lines when it is no terminal. */
export function createOutput(stream: NodeJS.WriteStream): Output {
  const isTerminal = stream.isTTY === true;
  let current = '';
  const clear = () => {
    if (isTerminal && current !== '') stream.write('\r\x1b[2K');
  };
  return {
    isTerminal,
    get columns() {
      return isTerminal ? stream.columns : undefined;
    },
    line(text = '') {
      clear();
      stream.write(`${text}\n`);
      if (isTerminal && current !== '') stream.write(current);
    },
    live(text) {
      if (text === current) return;
      clear();
      current = isTerminal ? text.slice(0, (stream.columns ?? 100) - 1) : text;
      stream.write(isTerminal ? current : `${current}\n`);
    },
    done() {
      if (isTerminal && current !== '') stream.write('\n');
      current = '';
    },
  };
}

/** A bar such as `███████░░░ 21/30`. */
export function bar(done: number, total: number, width = 24): string {
  const filled = total === 0 ? width : Math.round((width * done) / total);
  return `${'█'.repeat(filled)}${'░'.repeat(width - filled)} ${done}/${total}`;
}

/** A rate as a percentage, `–` when nothing was measured. */
export function percent(rate: number | null): string {
  return rate === null ? '–' : `${(100 * rate).toFixed(1)} %`;
}
