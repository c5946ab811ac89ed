import { connectModelRuntime } from '@errata/rpc';
import { checkModelRuntime, modelRuntimeCases } from '@errata/rpc/conformance';

/** Longest that one call may take: a slice of a covariance of a large model. */
const CALL_MS = 600_000;

/**
 * Checks a running model runtime against the contract and writes one JSON line a requirement.
 * @param address host:port
 * @param write where the lines go
 * @returns the exit status: 1 when a requirement is not kept, else 0
 */
export async function runRuntimeConformance(
  address: string,
  write: (line: string) => void = (line) => process.stdout.write(`${line}\n`),
): Promise<number> {
  const runtime = connectModelRuntime(address);
  let passed = 0;
  try {
    for await (const result of checkModelRuntime(runtime, { timeoutMs: CALL_MS })) {
      if (result.pass) passed++;
      write(JSON.stringify({ kind: 'runtime', ...result, seconds: Number(result.seconds.toFixed(3)) }));
    }
  } finally {
    runtime.close();
  }
  return passed === modelRuntimeCases.length ? 0 : 1;
}
