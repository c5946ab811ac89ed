import { z } from 'zod';

/** Where a server listens, as its callers name it: host:port, an IPv6 address in brackets. */
export const addressSchema = z.string().regex(/^[^\s,:]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$/, 'must be host:port');

const HOST = 'dns+';
const SRV = 'dnssrv+';

/** What an entry of a list of servers means: one server, every address of a host, every target of SRV records. */
export type ServerName =
  | { readonly kind: 'address' | 'host'; readonly host: string; readonly port: number }
  | { readonly kind: 'srv'; readonly name: string };

/** Reads an entry that {@link addressListSchema} accepts; the port of any other is NaN. The prefixes are those of Thanos. */
export function parseServerName(entry: string): ServerName {
  if (entry.startsWith(SRV)) return { kind: 'srv', name: entry.slice(SRV.length) };
  const kind = entry.startsWith(HOST) ? 'host' : 'address';
  const place = kind === 'host' ? entry.slice(HOST.length) : entry;
  const [, host, port] = /^(.*):(\d+)$/.exec(place) ?? [];
  return { kind, host: host ?? place, port: Number(port) };
}

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
