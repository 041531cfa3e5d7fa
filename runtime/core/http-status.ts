import type { FaultCode } from './fault.ts';

/** The HTTP status of every fault; the compiler keeps the table total. */
export const httpStatus = {
  'bad-request': 400,
  unauthorized: 401,
  forbidden: 403,
  'not-found': 404,
  'method-not-allowed': 405,
  conflict: 409,
  'too-large': 413,
  'too-many': 429,
  timeout: 504,
  unavailable: 503,
  internal: 500,
} as const satisfies Record<FaultCode, number>;
