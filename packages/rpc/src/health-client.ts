import { ErrataError } from '@errata/contracts';
import { type ClientUnaryCall, credentials, makeClientConstructor, type ServiceDefinition } from '@grpc/grpc-js';
import { service } from 'grpc-health-check';
import { type CallLimits, callsOf, channelOptions } from './calls.js';

/** The standard health service (grpc.health.v1) of one peer. */
export interface HealthClient {
  /** @throws ErrataError NOT_READY when the peer cannot be reached or says that it does not serve; DEADLINE_EXCEEDED */
  check(limits: CallLimits): Promise<void>;
  close(): void;
}

type Check = Parameters<ReturnType<typeof callsOf>['unary']>[0];

/** Connects lazily to the health service at host:port. @param peer its name in messages */
export function connectHealth(address: string, peer: string): HealthClient {
  const Client = makeClientConstructor(service as unknown as ServiceDefinition, 'Health');
  const client = new Client(address, credentials.createInsecure(), channelOptions);
  const call = callsOf(client, `${peer} ${address}`);
  const check = client.Check as (...args: Parameters<Check>) => ClientUnaryCall;
  return {
    async check(limits) {
      const { status } = (await call.unary(check, { service: '' }, limits)) as { status: number | string };
      if (status !== 'SERVING' && status !== 1)
        throw new ErrataError('NOT_READY', `${peer} ${address} does not serve: it says ${status}`);
    },
    close: () => client.close(),
  };
}
