import { randomBytes } from 'node:crypto';

/** Prefixes of public identifiers; the rest is a UUIDv7 (RFC 9562, section 5.7) without hyphens. */
export type IdPrefix = 'str' | 'edt' | 'evl' | 'rev' | 'snp' | 'exp' | 'pub' | 'whd';

/**
 * Makes a new identifier such as `str_0193…`: sortable by creation time, unguessable in its low 74 bits.
 */
export function newId(prefix: IdPrefix, now: number = Date.now()): string {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(now, 0, 6);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return `${prefix}_${bytes.toString('hex')}`;
}

/** Pattern of an identifier with the given prefix. */
export function idPattern(prefix: IdPrefix): RegExp {
  return new RegExp(`^${prefix}_[0-9a-f]{32}$`);
}
