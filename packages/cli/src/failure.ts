import { type ErrataError, type ErrorCode, toErrataError } from '@errata/contracts';

/** A fault of the command line itself: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const nextSteps: Partial<Record<ErrorCode, string>> = {
  UNKNOWN_STREAM: 'errata streams        lists the streams',
  UNKNOWN_EDIT: 'errata edits          lists the edits with their ids',
  UNKNOWN_CHECKPOINT: 'errata checkpoint     without a name lists the checkpoints',
  UNKNOWN_POSITION: 'errata checkpoint     lists named positions; 0 is the unedited model',
  POSITION_COLLECTED: 'errata checkpoint     lists named positions, which are always kept',
  UNKNOWN_MODEL: 'errata doctor         shows whether a model runtime is up',
  UNKNOWN_CORPUS: 'errata corpora        lists the uploaded texts',
  CORPUS_IN_USE: 'errata corpora        shows how many streams name each text',
  UNKNOWN_EXPORT: 'errata exports        lists the exports of a stream',
  EXPORT_EXISTS: 'errata exports        lists the exports with their folders',
  EDIT_NOT_REVOCABLE: 'errata edits          shows the state of each edit',
  LOG_CORRUPT: 'errata verify --repair puts back what the log can give itself, and names what it cannot',
};

/** What is wrong and what to do, as one block for people. */
export function describeFailure(raw: unknown): string {
  if (raw instanceof UsageError) return `error: ${raw.message}\nTry "errata --help".`;
  const error = toErrataError(raw);
  const lines = [`error: ${error.message}`];
  for (const { line, field, message } of error.details) {
    const place = [line === undefined ? '' : `line ${line}`, field ?? ''].filter((part) => part !== '').join(', ');
    lines.push(`  ${place === '' ? '' : `${place}: `}${message}`);
  }
  const next = nextStep(error);
  if (next) lines.push('', next);
  return lines.join('\n');
}

/** The same for programs: one JSON object. */
export function failureJson(raw: unknown): { error: Record<string, unknown> } {
  if (raw instanceof UsageError)
    return { error: { code: 'USAGE', message: raw.message, retryable: false, details: [] } };
  const { code, message, retryable, details } = toErrataError(raw);
  return { error: { code, message, retryable, details } };
}

export function exitCodeOf(raw: unknown): 1 | 2 {
  return raw instanceof UsageError ? 2 : 1;
}

function nextStep(error: ErrataError): string | undefined {
  if (error.code === 'NOT_READY' && /^(The API at|No stack)/.test(error.message))
    return 'errata up             starts the stack (npm start also runs the example)';
  return nextSteps[error.code];
}
