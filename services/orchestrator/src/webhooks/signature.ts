import { createHmac } from 'node:crypto';

/**
 * The header `errata-signature` of a body sent at a time (seconds since 1970): `t=…,v1=…`, where v1 is the HMAC-SHA256 of
 * `{t}.{body}` in hex. A receiver that checks the time as well cannot be sent an old body again.
 */
export function signatureOf(secret: string, body: string, at: number): string {
  const mac = createHmac('sha256', secret).update(`${at}.${body}`).digest('hex');
  return `t=${at},v1=${mac}`;
}
