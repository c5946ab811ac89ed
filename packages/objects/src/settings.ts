import { z } from 'zod';

/** Where objects lie, and with what they are asked for. Never logged. */
export interface S3Settings {
  /** Origin of the service, such as https://s3.eu-central-1.amazonaws.com or http://10.0.0.5:9000. */
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  /** Before every key: empty, or ending in a slash. */
  readonly prefix: string;
  /** Whether the bucket is the first part of the path (self-hosted services) or of the host name (AWS). */
  readonly pathStyle: boolean;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
  /** Milliseconds for one attempt of a request. */
  readonly timeoutMs: number;
  /** How often a request is sent at most. */
  readonly attempts: number;
}

type Env = Readonly<Record<string, string | undefined>>;

const bucketName = z.string().regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'must be the name of a bucket');

const needed = 'is needed';

const schema = z.object({
  /** The bucket; without it there is no object storage. */
  BUCKET: bucketName,
  /** Before every key, such as "errata/production". */
  PREFIX: z
    .string()
    .regex(/^[A-Za-z0-9._/-]*$/, 'must be letters, digits, ".", "_", "-" and "/"')
    .default('')
    .transform(asPrefix),
  REGION: z.string().min(1).default('us-east-1'),
  /** AWS in that region where it is left out. */
  ENDPOINT: z.url({ protocol: /^https?$/ }).optional(),
  PATH_STYLE: z.enum(['true', 'false']).optional(),
  ACCESS_KEY_ID: z.string({ error: needed }),
  SECRET_ACCESS_KEY: z.string({ error: needed }),
  SESSION_TOKEN: z.string().min(1).optional(),
  TIMEOUT_MS: z.coerce.number().int().min(100).default(30_000),
  ATTEMPTS: z.coerce.number().int().min(1).max(20).default(5),
});

function asPrefix(given: string): string {
  const trimmed = given.replaceAll(/^\/+|\/+$/g, '');
  return trimmed === '' ? '' : `${trimmed}/`;
}

/**
 * The settings behind a prefix of environment variables (`SNAPSHOT_S3_BUCKET` …), or null where no bucket is named.
 * Region and credentials may also be those of the AWS tools (`AWS_REGION`, `AWS_ACCESS_KEY_ID` …).
 * @throws Error naming every variable that is missing or wrong, never its value
 */
export function readS3Settings(
  env: Env,
  prefix: string,
  given: { bucket?: string; prefix?: string } = {},
): S3Settings | null {
  // What is empty is left out: compose files pass variables on that way.
  const own = (name: string, other?: string) => env[`${prefix}${name}`] || (other && env[other]) || undefined;
  const bucket = given.bucket ?? own('BUCKET');
  if (bucket === undefined) return null;
  const result = schema.safeParse({
    BUCKET: bucket,
    PREFIX: given.prefix ?? own('PREFIX'),
    REGION: own('REGION', 'AWS_REGION'),
    ENDPOINT: own('ENDPOINT', 'AWS_ENDPOINT_URL_S3'),
    PATH_STYLE: own('PATH_STYLE'),
    ACCESS_KEY_ID: own('ACCESS_KEY_ID', 'AWS_ACCESS_KEY_ID'),
    SECRET_ACCESS_KEY: own('SECRET_ACCESS_KEY', 'AWS_SECRET_ACCESS_KEY'),
    SESSION_TOKEN: own('SESSION_TOKEN', 'AWS_SESSION_TOKEN'),
    TIMEOUT_MS: own('TIMEOUT_MS'),
    ATTEMPTS: own('ATTEMPTS'),
  });
  if (!result.success)
    throw new Error(
      result.error.issues.map(({ path, message }) => `${prefix}${path.join('.')}: ${message}`).join('; '),
    );
  const { data } = result;
  return {
    endpoint: (data.ENDPOINT ?? `https://s3.${data.REGION}.amazonaws.com`).replace(/\/+$/, ''),
    region: data.REGION,
    bucket: data.BUCKET,
    prefix: data.PREFIX,
    pathStyle: data.PATH_STYLE === undefined ? data.ENDPOINT !== undefined : data.PATH_STYLE === 'true',
    accessKeyId: data.ACCESS_KEY_ID,
    secretAccessKey: data.SECRET_ACCESS_KEY,
    sessionToken: data.SESSION_TOKEN,
    timeoutMs: data.TIMEOUT_MS,
    attempts: data.ATTEMPTS,
  };
}

/** Bucket and prefix of s3://bucket/prefix, or null for anything else. */
export function s3Address(address: string): { readonly bucket: string; readonly prefix: string } | null {
  const found = /^s3:\/\/([^/]+)(?:\/(.*))?$/.exec(address);
  return found === null ? null : { bucket: found[1], prefix: found[2] ?? '' };
}
