import { aliasSchema, ErrataError } from '@errata/contracts';
import { connectS3, readS3Settings, type S3Objects, s3Address } from '@errata/objects';
import { z } from 'zod';

/** A server that adapters may be published to. Nothing else is ever connected to: requests name it, never an address. */
export const publishTargetSchema = z.strictObject({
  name: aliasSchema,
  url: z.url({ protocol: /^https?$/ }),
  /** Where the server sees the folder of exports; with `objects`, where it sees what lies at that address. */
  exportDir: z.string().min(1).optional(),
  /** Object storage that exports are uploaded to first, s3://bucket/prefix. */
  objects: z
    .string()
    .refine((address) => s3Address(address) !== null, 'must be s3://bucket/prefix')
    .optional(),
  apiKey: z.string().min(1).optional(),
  /** The only addresses that the name of the server may resolve to. */
  addresses: z.array(z.union([z.ipv4(), z.ipv6()])).optional(),
});
export type PublishTarget = z.infer<typeof publishTargetSchema>;

export interface Publishing {
  readonly targets: readonly PublishTarget[];
  /** EXPORT_DIR */
  readonly exportDir?: string | undefined;
  /** Object storage of the targets that have one, by their names. */
  readonly objects?: ReadonlyMap<string, S3Objects>;
}

/** Connects the object storage of targets, with the credentials of `EXPORT_S3_…`. @throws Error naming what is missing */
export function connectTargets(
  targets: readonly PublishTarget[],
  env: Readonly<Record<string, string | undefined>>,
): ReadonlyMap<string, S3Objects> {
  const found = new Map<string, S3Objects>();
  for (const { name, objects } of targets) {
    const place = objects === undefined ? null : s3Address(objects);
    const settings = place && readS3Settings(env, 'EXPORT_S3_', place);
    if (settings) found.set(name, connectS3(settings));
  }
  return found;
}

/** @throws UNKNOWN_TARGET */
export function targetOf({ targets }: Publishing, name: string): PublishTarget {
  const found = targets.find((target) => target.name === name);
  if (found) return found;
  const known = targets.map((target) => target.name).join(', ') || 'none';
  throw new ErrataError('UNKNOWN_TARGET', `PUBLISH_TARGETS names no ${JSON.stringify(name)}; it names: ${known}`);
}
