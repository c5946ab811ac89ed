import {
  canarySchema,
  guardsResponseSchema,
  listCanariesResponseSchema,
  listProbesResponseSchema,
  settleQuarantineResponseSchema,
} from '@errata/contracts';
import type { DriftClient, QuarantineChoice } from './drift-types.js';
import type { CallOptions, createTransport, Schema } from './transport.js';

const anything: Schema<unknown> = { safeParse: (data) => ({ success: true, data }) };

/** @param at path of a stream and what is below it */
export function driftCalls(
  transport: ReturnType<typeof createTransport>,
  at: (stream: string, rest?: string) => string,
): DriftClient {
  const get = <T>(path: string, schema: Schema<T>, call: CallOptions = {}, query = {}): Promise<T> =>
    transport.json({ method: 'GET', path, query, repeatable: true, signal: call.signal }, schema);
  const settle =
    (what: string) =>
    (stream: string, choice: QuarantineChoice = {}, call: CallOptions = {}) =>
      transport.json(
        {
          method: 'POST',
          path: at(stream, `/quarantine/${what}`),
          json: choice,
          // Those that are named are out of quarantine the second time, which is an error; all of them is nothing to do then.
          repeatable: choice.edits === undefined,
          signal: call.signal,
        },
        settleQuarantineResponseSchema,
      );
  return {
    getGuards: (stream, call) => get(at(stream, '/guards'), guardsResponseSchema, call),
    setGuards: (stream, change, call = {}) =>
      transport.json(
        { method: 'PATCH', path: at(stream, '/guards'), json: change, repeatable: true, signal: call.signal },
        guardsResponseSchema,
      ),
    listProbes: async (stream, { signal, ...query } = {}) =>
      (await get(at(stream, '/probes'), listProbesResponseSchema, { signal }, query)).rounds,
    listCanaries: async (stream, call) =>
      (await get(at(stream, '/canaries'), listCanariesResponseSchema, call)).canaries,
    addCanary: (stream, canary, call = {}) =>
      transport.json(
        { method: 'POST', path: at(stream, '/canaries'), json: canary, repeatable: true, signal: call.signal },
        canarySchema,
      ),
    removeCanary: async (stream, name, call = {}) => {
      const path = at(stream, `/canaries/${encodeURIComponent(name)}`);
      await transport.json({ method: 'DELETE', path, repeatable: false, signal: call.signal }, anything);
    },
    releaseQuarantined: settle('release'),
    rejectQuarantined: settle('reject'),
  };
}
