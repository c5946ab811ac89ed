import type {
  Canary,
  CanaryInput,
  GuardsResponse,
  ProbeRound,
  SetGuardsRequest,
  SettleQuarantineResponse,
} from '@errata/contracts';
import type { CallOptions } from './transport.js';

/** Which edits leave the quarantine; all where none are named. */
export interface QuarantineChoice {
  readonly edits?: readonly string[];
  /** Kept with the edits. */
  readonly reason?: string;
}

/** What is watched of a stream, and what happens when a budget is exceeded. */
export interface DriftClient {
  getGuards(stream: string, options?: CallOptions): Promise<GuardsResponse>;
  /** Changes what is given; the rest stays. */
  setGuards(stream: string, change: SetGuardsRequest, options?: CallOptions): Promise<GuardsResponse>;
  /** What was measured after each of the newest batches, oldest first. */
  listProbes(stream: string, options?: CallOptions & { limit?: number }): Promise<ProbeRound[]>;
  listCanaries(stream: string, options?: CallOptions): Promise<Canary[]>;
  /** @throws NAME_TAKEN */
  addCanary(stream: string, canary: CanaryInput, options?: CallOptions): Promise<Canary>;
  /** @throws UNKNOWN_CANARY */
  removeCanary(stream: string, name: string, options?: CallOptions): Promise<void>;
  /** Queues edits that a guard took back again. @throws EDIT_NOT_QUARANTINED */
  releaseQuarantined(
    stream: string,
    choice?: QuarantineChoice,
    options?: CallOptions,
  ): Promise<SettleQuarantineResponse>;
  /** Ends edits that a guard took back. @throws EDIT_NOT_QUARANTINED */
  rejectQuarantined(
    stream: string,
    choice?: QuarantineChoice,
    options?: CallOptions,
  ): Promise<SettleQuarantineResponse>;
}
