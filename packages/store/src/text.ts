import { createHash } from 'node:crypto';
import { ErrataError, type ErrorDetail } from '@errata/contracts';

const LONE_SURROGATE = /\p{Surrogate}/u;
const UNSTORABLE = /\0|\p{Surrogate}/gu;

/** Text of a request by the name of its field; lists count their members. */
export type TextFields = Readonly<Record<string, string | readonly string[] | null | undefined>>;

function fault(text: string): string | null {
  if (text.includes('\0')) return 'holds U+0000, which cannot be stored: remove it';
  if (LONE_SURROGATE.test(text)) return 'holds half of a surrogate pair, which is not text: remove it';
  return null;
}

/**
 * Refuses text that Postgres cannot keep as it is.
 * @param prefix put before every field name, `edits[3].` say
 * @throws ErrataError INVALID_REQUEST, its details naming each field
 */
export function assertStorable(fields: TextFields, prefix = ''): void {
  const details: ErrorDetail[] = [];
  for (const [name, value] of Object.entries(fields)) {
    if (value === null || value === undefined) continue;
    const texts = typeof value === 'string' ? [value] : value;
    for (const [index, text] of texts.entries()) {
      const message = fault(text);
      const field = prefix + (typeof value === 'string' ? name : `${name}[${index}]`);
      if (message) details.push({ field, message });
    }
  }
  const [first] = details;
  if (first) throw new ErrataError('INVALID_REQUEST', `${first.field} ${first.message}`, { details });
}

/** What a model or an error produced, made storable: U+0000 and halves of surrogate pairs become U+FFFD. */
export function storable<T>(value: T): T {
  if (typeof value === 'string') return value.replace(UNSTORABLE, '\ufffd') as T;
  if (Array.isArray(value)) return value.map(storable) as T;
  if (value !== null && typeof value === 'object')
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [storable(k), storable(v)])) as T;
  return value;
}

function collapse(text: string): string {
  return text.replace(/\s+/gu, ' ').trim();
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** What two edits share that speak of the same thing: sha256 of (subject, prompt) in NFKC, lower case, single spaces. */
export function editKeyHash(subject: string | null | undefined, prompt: string): string {
  const plain = (text: string) => collapse(text.normalize('NFKC').toLowerCase());
  return sha256(JSON.stringify([subject == null ? null : plain(subject), plain(prompt)]));
}

/** sha256 of a target with single spaces: case and form count. */
export function targetHash(target: string): string {
  return sha256(collapse(target));
}
