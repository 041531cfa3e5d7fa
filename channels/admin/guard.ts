import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Fault } from '../../runtime/core/fault.ts';

/** Names of this machine; a page in a browser cannot make any of them its own by DNS rebinding. */
const loopback = ['127.0.0.1', 'localhost', '[::1]'];

/** @throws Fault `forbidden` unless the Host is a name of this machine with the very port. */
export function checkHost({ headers, headersDistinct }: IncomingMessage, port: number): void {
  const hosts = headersDistinct['host'] ?? [headers.host ?? ''];
  const allowed = loopback.flatMap((name) => [`${name}:${port}`, ...(port === 80 ? [name] : [])]);
  const [host = ''] = hosts;
  if (hosts.length === 1 && allowed.includes(host.toLowerCase())) return;
  throw new Fault('forbidden', `The Host header must be one of ${allowed.join(', ')}`);
}

/** @throws Fault `unauthorized` unless the request bears the token. */
export function checkToken({ headers }: IncomingMessage, token: string): void {
  const given = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
  // Digests have one length, so that the comparison tells nothing about the token.
  if (given !== undefined && timingSafeEqual(digest(given), digest(token))) return;
  throw new Fault(
    'unauthorized',
    'The admin token is missing or wrong: send Authorization: Bearer',
  );
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
