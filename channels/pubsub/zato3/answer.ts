import { Fault, type FaultCode } from '../../../runtime/core/fault.ts';
import { notSubscribed } from '../../../runtime/pubsub/endpoint-broker.ts';
import { type Answer, jsonType } from '../rest/answer.ts';

/** Who is not known, has no endpoint, or names a topic that is not there hears the same (Zato 3.2). */
const statuses = {
  'bad-request': 400,
  unauthorized: 403,
  forbidden: 403,
  'not-found': 403,
  'method-not-allowed': 405,
  conflict: 409,
  'too-large': 413,
  'too-many': 429,
  timeout: 503,
  unavailable: 503,
  internal: 500,
} as const satisfies Record<FaultCode, number>;

const notAllowed = 'You are not allowed to access this resource';

export function faultAnswer(fault: Fault, cid: string): Answer {
  const status = statuses[fault.code];
  const body = JSON.stringify({ result: 'Error', cid, details: detailsOf(fault, status) });
  return { status, body, type: jsonType, headers: headersOf(fault) };
}

function detailsOf({ code, message, details }: Fault, status: number): string {
  if (status === statuses.forbidden) return notAllowed;
  if (code === 'bad-request') return isNotSubscribed(details) ? message : 'Bad request';
  // What went wrong inside is for the log.
  return code === 'internal' ? 'An error has occurred' : message;
}

function isNotSubscribed(details: unknown): boolean {
  return (
    typeof details === 'object' &&
    details !== null &&
    'reason' in details &&
    details.reason === notSubscribed
  );
}

function headersOf({ code, details, retryAfterMs }: Fault): readonly string[] {
  if (code === 'method-not-allowed') return ['Allow', String(details)];
  if (retryAfterMs === undefined) return [];
  return ['Retry-After', String(Math.ceil(retryAfterMs / 1_000))];
}

/** @param allow the methods that a path takes: `GET, POST` */
export function methodNotAllowed(allow: string): Fault {
  return new Fault('method-not-allowed', 'Unsupported HTTP method', { details: allow });
}
