import type { Fault, FaultCode } from '../../../runtime/core/fault.ts';
import { pythonJson } from '../../../runtime/delivery/zato2-body.ts';
import { type Answer, jsonType } from '../rest/answer.ts';
import { xmlOf } from './xml.ts';

export type Format = 'json' | 'xml';

/** What Zato 2.0 says to whom it does not know, and to whom a topic is none of their business. */
export const notAuthorized = 'You are not authorized to access this resource';

/** Whatever goes wrong once a request was let in is a 500 in Zato 2.0. */
const statuses: Readonly<Record<FaultCode, number>> = {
  'bad-request': 400,
  unauthorized: 401,
  forbidden: 403,
  'method-not-allowed': 405,
  'too-large': 413,
  'not-found': 500,
  conflict: 500,
  'too-many': 500,
  timeout: 500,
  unavailable: 500,
  internal: 500,
};

export function answerOf(value: unknown, format: Format, status = 200): Answer {
  const xml = format === 'xml';
  return {
    status,
    body: xml ? xmlOf(value) : pythonJson(value),
    type: xml ? 'application/xml' : jsonType,
    headers: [],
  };
}

export function errorAnswer(details: string, format: Format, status = 200): Answer {
  return answerOf({ status: 'ZATO_ERROR', details }, format, status);
}

export function faultAnswer(fault: Fault, format: Format, allowed: string): Answer {
  const status = statuses[fault.code];
  const headers = headersOf(fault, allowed);
  if (status === 401 || status === 403) {
    return { status, body: notAuthorized, type: 'text/plain; charset=utf-8', headers };
  }
  // What went wrong inside is for the log.
  const details = fault.code === 'internal' ? 'An error has occurred' : fault.message;
  return { ...errorAnswer(details, format, status), headers };
}

function headersOf({ code, retryAfterMs }: Fault, allowed: string): readonly string[] {
  if (code === 'unauthorized') return ['WWW-Authenticate', 'Zato pub/sub'];
  if (code === 'method-not-allowed') return ['Allow', allowed];
  if (retryAfterMs === undefined) return [];
  return ['Retry-After', String(Math.ceil(retryAfterMs / 1_000))];
}
