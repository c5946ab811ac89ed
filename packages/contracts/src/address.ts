import { z } from 'zod';

/** Where a server listens, as its callers name it: host:port, an IPv6 address in brackets. */
export const addressSchema = z.string().regex(/^[^\s,:]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$/, 'must be host:port');

/** Several of them with commas between. */
export const addressListSchema = z
  .string()
  .transform((list) => list.split(',').map((item) => item.trim()))
  .pipe(z.array(addressSchema).min(1));
