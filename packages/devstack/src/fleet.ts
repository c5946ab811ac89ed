import { ErrataError } from '@errata/contracts';
import { processIdentity } from '../bootstrap/lib/identity.mjs';
import { writeLedger } from '../bootstrap/lib/ledger.mjs';
import type { OnStackEvent } from './events.js';
import { type ProcessSpec, type Supervised, supervise } from './supervised.js';

/** The processes of a stack in the order of their start, noted in a ledger file as they come and go. */
export class Fleet {
  readonly #members: { readonly process: Supervised; readonly spec: ProcessSpec; readonly tier: number }[] = [];
  readonly #identities = new Map<number, string | undefined>();
  readonly #ledgerFile: string;
  readonly #onEvent: OnStackEvent;
  #stopping = false;

  constructor(ledgerFile: string, onEvent: OnStackEvent) {
    this.#ledgerFile = ledgerFile;
    this.#onEvent = onEvent;
  }

  /** Starts processes side by side; returns when all are ready. Processes of a later call stop before these. */
  async start(specs: readonly ProcessSpec[]): Promise<void> {
    if (this.#stopping) throw new ErrataError('CANCELLED', 'the stack is stopping');
    const tier = (this.#members.at(-1)?.tier ?? 0) + 1;
    const started = specs.map((spec) => {
      const process = supervise(spec, this.#onEvent, () => this.#note());
      this.#members.push({ process, spec, tier });
      return process;
    });
    const results = await Promise.allSettled(started.map((process) => process.start()));
    const failure = results.find((result) => result.status === 'rejected');
    if (failure !== undefined) throw failure.reason;
  }

  /** @throws ErrataError `INVALID_REQUEST` when no process has this name */
  get(name: string): Supervised {
    const member = this.#members.find(({ process }) => process.name === name);
    if (member !== undefined) return member.process;
    const names = this.#members.map(({ process }) => process.name).join(', ');
    throw new ErrataError('INVALID_REQUEST', `no process is named ${JSON.stringify(name)}: there are ${names}`);
  }

  all(): readonly Supervised[] {
    return this.#members.map(({ process }) => process);
  }

  /** Stops all, those started last first. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const tiers = [...new Set(this.#members.map(({ tier }) => tier))].sort((a, b) => b - a);
    for (const tier of tiers)
      await Promise.all(this.#members.filter((member) => member.tier === tier).map(({ process }) => process.stop()));
  }

  #note(): void {
    const entries = this.#members.flatMap(({ process, spec }) => {
      const pid = process.pid();
      if (pid === undefined) return [];
      if (!this.#identities.has(pid)) this.#identities.set(pid, processIdentity(pid));
      return [{ name: process.name, pid, identity: this.#identities.get(pid), signal: spec.stopSignal }];
    });
    const pids = new Set(entries.map(({ pid }) => pid));
    for (const pid of this.#identities.keys()) if (!pids.has(pid)) this.#identities.delete(pid);
    writeLedger(this.#ledgerFile, entries);
  }
}
