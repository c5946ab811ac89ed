/** A failure the user can act on: what failed, the last lines of the failing program, and what to do. */
export class SetupError extends Error {
  /**
   * @param {string} message what failed
   * @param {{output?: string, remedy?: string}} [details]
   */
  constructor(message, { output = '', remedy = '' } = {}) {
    super(message);
    this.name = 'SetupError';
    this.output = output;
    this.remedy = remedy;
  }
}

const shownLines = 15;

/** The failure as the text a terminal shows. */
export function describeFailure(error) {
  if (!(error instanceof SetupError)) return error instanceof Error ? (error.stack ?? error.message) : String(error);
  const lines = [`error: ${error.message}`];
  const tail = error.output.trimEnd().split('\n').slice(-shownLines);
  if (tail.some((line) => line.trim() !== '')) lines.push('', ...tail.map((line) => `  | ${line}`));
  if (error.remedy !== '') lines.push('', error.remedy);
  return lines.join('\n');
}
