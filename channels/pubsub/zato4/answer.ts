import { STATUS_CODES } from 'node:http';
import type { Fault, FaultCode } from '../../../runtime/core/fault.ts';
import { type Answer, jsonType } from '../rest/answer.ts';

const statuses = {
  'bad-request': 400,
  unauthorized: 401,
  forbidden: 403,
  'not-found': 404,
  'method-not-allowed': 405,
  conflict: 422,
  'too-large': 413,
  'too-many': 429,
  timeout: 503,
  unavailable: 503,
  internal: 500,
} as const satisfies Record<FaultCode, number>;

/** What Zato 4 says of a URL that nothing serves. */
export function unknownUrl(cid: string): Answer {
  const body = `URL not found (CID:${cid})`;
  return { status: 404, body, type: 'text/plain; charset=utf-8', headers: [] };
}

/** @param challenge What goes with a 401. */
export function faultAnswer(fault: Fault, cid: string, challenge: string): Answer {
  const status = statuses[fault.code];
  const headers = headersOf(fault, challenge);
  return { status, body: JSON.stringify(bodyOf(fault, cid)), type: jsonType, headers };
}

/** Two refusals come from Zato's server before its pub/sub is asked, and look otherwise. */
function bodyOf(fault: Fault, cid: string): unknown {
  if (fault.code === 'method-not-allowed') {
    return { result: 'Error', cid, details: 'Unsupported HTTP method' };
  }
  if (fault.code === 'too-many') return { result: 'Error', cid, details: 'Too many requests' };
  return { is_ok: false, cid, details: detailsOf(fault), status: statusText(statuses[fault.code]) };
}

function detailsOf({ code, message, details }: Fault): string {
  // What went wrong inside is for the log.
  if (code === 'internal') return 'An error has occurred';
  return reasonOf(details) === storageWatermark ? storageWatermark : message;
}

const storageWatermark = 'storage watermark';

function reasonOf(details: unknown): unknown {
  return typeof details === 'object' && details !== null && 'reason' in details
    ? details.reason
    : undefined;
}

function headersOf({ code, retryAfterMs }: Fault, challenge: string): readonly string[] {
  if (code === 'unauthorized') return ['WWW-Authenticate', challenge];
  if (code === 'method-not-allowed') return ['Allow', 'POST'];
  if (retryAfterMs === undefined) return [];
  // Zato 4 says when, not how long.
  if (code === 'too-many')
    return ['Retry-After', new Date(Date.now() + retryAfterMs).toUTCString()];
  return ['Retry-After', String(Math.ceil(retryAfterMs / 1_000))];
}

function statusText(status: number): string {
  return `${status} ${STATUS_CODES[status]}`;
}
