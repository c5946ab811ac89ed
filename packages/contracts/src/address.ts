import { z } from 'zod';

/** Where a server listens, as its callers name it: host:port, an IPv6 address in brackets. */
export const addressSchema = z.string().regex(/^[^\s,:]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$/, 'must be host:port');

/** `dns+host:port`: every address of a host; `dnssrv+name`: every target of the SRV records of a name. */
const discoveredSchema = z.string().regex(/^dns\+[^\s,:+]+:\d{1,5}$|^dnssrv\+[^\s,:+]+$/);

/** Servers of one kind, with commas between: each host:port, or a name by which DNS tells of them. */
export const addressListSchema = z
  .string()
  .transform((list) => list.split(',').map((item) => item.trim()))
  .pipe(
    z
      .array(z.union([discoveredSchema, addressSchema], { error: 'must be host:port, dns+host:port or dnssrv+name' }))
      .min(1),
  );
