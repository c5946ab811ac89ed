import dns from 'node:dns/promises';
import { isIPv6 } from 'node:net';
import { parseServerName } from '@errata/contracts';

/** How DNS is asked; Node's way when left out. */
export interface Resolver {
  /** Addresses of a host, by /etc/hosts and the search domains too. */
  addressesOf(host: string): Promise<readonly string[]>;
  /** SRV records (RFC 2782); their priorities and weights are not minded, as every server has work of its own. */
  serversOf(name: string): Promise<readonly { readonly name: string; readonly port: number }[]>;
}

const systemResolver: Resolver = {
  addressesOf: async (host) => (await dns.lookup(host, { all: true })).map(({ address }) => address),
  serversOf: (name) => dns.resolveSrv(name),
};

export interface DiscoveryOptions {
  /** Pause after an answer, in milliseconds. */
  readonly intervalMs: number;
  /** Told of the addresses, sorted and each once: of all that need no DNS at once, later whenever they change. */
  readonly onChange: (addresses: readonly string[]) => void;
  /** Told of a name that DNS does not know, or no longer, once for every new reason. What it named last still counts. */
  readonly onFailure: (name: string, error: Error) => void;
  readonly resolver?: Resolver | undefined;
}

/** Whether DNS tells which servers an entry of a list means. */
export function isDiscovered(entry: string): boolean {
  return parseServerName(entry).kind !== 'address';
}

async function resolve(entry: string, resolver: Resolver): Promise<string[]> {
  const named = parseServerName(entry);
  if (named.kind === 'srv') {
    const servers = await resolver.serversOf(named.name);
    return servers.map(({ name, port }) => `${name.replace(/\.$/, '')}:${port}`);
  }
  const addresses = await resolver.addressesOf(named.host);
  return addresses.map((address) => `${isIPv6(address) ? `[${address}]` : address}:${named.port}`);
}

/**
 * Keeps to the addresses of the servers that a list names: `host:port` as it stands, `dns+host:port` for every address
 * of a host, `dnssrv+name` for every target of a name's SRV records. An answer without any is a failure: whether servers
 * live is for their health to say.
 * @returns ends it
 */
export function discover(entries: readonly string[], options: DiscoveryOptions): () => void {
  const { intervalMs, onChange, onFailure, resolver = systemResolver } = options;
  const found = new Map<string, readonly string[]>();
  for (const entry of entries) if (!isDiscovered(entry)) found.set(entry, [entry]);
  const timers = new Map<string, NodeJS.Timeout>();
  let closed = false;
  let told: readonly string[] = [];

  const tell = () => {
    const now = [...new Set([...found.values()].flat())].sort();
    if (now.join() === told.join()) return;
    told = now;
    onChange(now);
  };
  const keepAsking = async (entry: string, lastReason = ''): Promise<void> => {
    let reason = '';
    try {
      const addresses = await resolve(entry, resolver);
      if (addresses.length === 0) throw new Error(`${entry} names no server`);
      if (closed) return;
      found.set(entry, addresses);
      tell();
    } catch (cause) {
      if (closed) return;
      const error = cause instanceof Error ? cause : new Error(String(cause));
      reason = error.message;
      if (reason !== lastReason) onFailure(entry, error);
    }
    timers.set(
      entry,
      setTimeout(() => void keepAsking(entry, reason), intervalMs),
    );
  };
  tell();
  for (const entry of entries.filter(isDiscovered)) void keepAsking(entry);

  return () => {
    closed = true;
    for (const timer of timers.values()) clearTimeout(timer);
  };
}
