import { ErrataError } from '@errata/contracts';

/**
 * SQLSTATEs (or their two-character classes) that mean the database is away, full or busy, or that its tables and columns are those of
 * another version, as in the middle of an upgrade: a later try may succeed.
 */
const NOT_READY_STATES = ['08', '28', '53', '57P', '58', '3D000', '40', '25006', '25P02', '25P03', '42P01', '42703'];
const NOT_READY_KINDS = new Set([
  'DatabaseNotReachable',
  'ConnectionClosed',
  'SocketTimeout',
  'TooManyConnections',
  'TransactionWriteConflict',
  'DatabaseDoesNotExist',
  'DatabaseAccessDenied',
  'AuthenticationFailed',
  'TableDoesNotExist',
  'TlsConnectionError',
]);
const NETWORK_CODES = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'ENOENT']);
/** P1xxx: connection; P2024/P2028/P2037: pool, transaction, too many connections; P2034: write conflict. */
const PRISMA_NOT_READY = /^P(1\d{3}|2024|2028|2034|2037)$/;
/** node-postgres names these by message only. */
const LOST_CONNECTION =
  /connection terminated|timeout exceeded when trying to connect|connection timeout|not queryable|connection error|socket hang up|pool after calling end|client was closed|server closed the connection/i;

interface Facts {
  readonly states: string[];
  readonly kinds: string[];
  readonly codes: string[];
  readonly messages: string[];
}

/** Gathers what an error and all it wraps say about themselves: Prisma hides the driver's error several levels down. */
function gather(error: unknown, facts: Facts, depth = 0): Facts {
  if (error === null || typeof error !== 'object' || depth > 6) return facts;
  const fields = error as Record<string, unknown>;
  for (const name of ['code', 'originalCode', 'errorCode']) {
    const code = fields[name];
    if (typeof code !== 'string') continue;
    if (/^P\d{4}$/.test(code) || NETWORK_CODES.has(code)) facts.codes.push(code);
    else if (/^[0-9A-Z]{5}$/.test(code)) facts.states.push(code);
  }
  if (typeof fields.kind === 'string') facts.kinds.push(fields.kind);
  if (typeof fields.message === 'string') facts.messages.push(fields.message);
  for (const name of ['cause', 'meta', 'driverAdapterError', 'error']) gather(fields[name], facts, depth + 1);
  if (Array.isArray(fields.errors)) for (const inner of fields.errors) gather(inner, facts, depth + 1);
  return facts;
}

function factsOf(error: unknown): Facts {
  return gather(error, { states: [], kinds: [], codes: [], messages: [] });
}

/** Whether a statement failed because a row with this key is there already. */
export function isUniqueViolation(error: unknown): boolean {
  const facts = factsOf(error);
  return (
    facts.states.includes('23505') || facts.codes.includes('P2002') || facts.kinds.includes('UniqueConstraintViolation')
  );
}

/** Whether a statement failed because a row that it refers to is not there. */
export function isForeignKeyViolation(error: unknown): boolean {
  const facts = factsOf(error);
  return (
    facts.states.includes('23503') ||
    facts.codes.includes('P2003') ||
    facts.kinds.includes('ForeignKeyConstraintViolation')
  );
}

/** Whether a trigger refused a change because of what depends on the row. */
export function isRestrictViolation(error: unknown): boolean {
  return factsOf(error).states.includes('23001');
}

/**
 * What a failure of the database means to a caller: a lost connection or an exhausted server is NOT_READY, a statement
 * that ran too long DEADLINE_EXCEEDED, text the database refuses INVALID_REQUEST, the rest INTERNAL.
 */
export function toStoreError(error: unknown, doing: string): ErrataError {
  if (error instanceof ErrataError) return error;
  const { states, kinds, codes, messages } = factsOf(error);
  // Prisma puts an account of the call above what went wrong.
  const said = (messages[0] ?? String(error)).trim().split('\n').at(-1);
  const options = { cause: error };
  if (states.some((s) => s === '57014' || s === '55P03'))
    return new ErrataError('DEADLINE_EXCEEDED', `the database took too long (${doing}): ${said}`, options);
  if (states.some((s) => s === '22021' || s === '22P05'))
    return new ErrataError('INVALID_REQUEST', `text cannot be stored (${doing}): ${said}`, options);
  const away =
    states.some((s) => NOT_READY_STATES.some((prefix) => s.startsWith(prefix))) ||
    kinds.some((kind) => NOT_READY_KINDS.has(kind)) ||
    codes.some((code) => NETWORK_CODES.has(code) || PRISMA_NOT_READY.test(code)) ||
    messages.some((message) => LOST_CONNECTION.test(message));
  if (away) return new ErrataError('NOT_READY', `the database is not ready (${doing}): ${said}`, options);
  return new ErrataError('INTERNAL', `the database refused (${doing}): ${said}`, options);
}
