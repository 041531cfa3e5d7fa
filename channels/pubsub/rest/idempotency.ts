import type { IncomingHttpHeaders } from 'node:http';
import { Fault } from '../../../runtime/core/fault.ts';

const visibleAscii = /^[\x21-\x7e]{1,255}$/;

/** @throws Fault `bad-request` */
export function idempotencyKeyOf(headers: IncomingHttpHeaders): string | undefined {
  const key = headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key === 'string' && visibleAscii.test(key)) return key;
  throw new Fault('bad-request', 'Idempotency-Key must be 1 to 255 visible ASCII characters');
}

/** What a client is told of a publication that the broker did not take, or may not have taken. */
export function refusalOf(error: unknown): unknown {
  if (!Fault.is(error)) return error;
  const { code, message, details, cause, retryAfterMs } = error;
  const rest = { details, cause, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  // A full queue is no fault of this client: 429 would tell it to slow down.
  if (code === 'too-many') return new Fault('unavailable', message, rest);
  if (!isUnknown(details)) return error;
  const advice = 'sending it again with the same Idempotency-Key is safe';
  return new Fault(code, `${message}: ${advice}`, rest);
}

/** It may have been published or not. */
function isUnknown(details: unknown): boolean {
  return (
    typeof details === 'object' &&
    details !== null &&
    'outcome' in details &&
    details.outcome === 'unknown'
  );
}
