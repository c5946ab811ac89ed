import { aliasSchema, ErrataError } from '@errata/contracts';
import { z } from 'zod';

/** A server that adapters may be published to. Nothing else is ever connected to: requests name it, never an address. */
export const publishTargetSchema = z.strictObject({
  name: aliasSchema,
  url: z.url({ protocol: /^https?$/ }),
  /** Where the server sees the folder of exports. */
  exportDir: z.string().min(1).optional(),
  apiKey: z.string().min(1).optional(),
  /** The only addresses that the name of the server may resolve to. */
  addresses: z.array(z.union([z.ipv4(), z.ipv6()])).optional(),
});
export type PublishTarget = z.infer<typeof publishTargetSchema>;

export interface Publishing {
  readonly targets: readonly PublishTarget[];
  /** EXPORT_DIR */
  readonly exportDir?: string | undefined;
}

/** @throws UNKNOWN_TARGET */
export function targetOf({ targets }: Publishing, name: string): PublishTarget {
  const found = targets.find((target) => target.name === name);
  if (found) return found;
  const known = targets.map((target) => target.name).join(', ') || 'none';
  throw new ErrataError('UNKNOWN_TARGET', `PUBLISH_TARGETS names no ${JSON.stringify(name)}; it names: ${known}`);
}
