import { Fault, type FaultCode, type FaultOptions } from '../../runtime/core/fault.ts';

export const statusOf = {
  'bad-request': 400,
  unauthorized: 401,
  forbidden: 403,
  'not-found': 404,
  'method-not-allowed': 405,
  conflict: 409,
  'too-large': 413,
  'too-many': 429,
  internal: 500,
  unavailable: 503,
  timeout: 504,
} as const satisfies Record<FaultCode, number>;

/** A Fault for which HTTP has a better word than the table: 408, 414, 415, 431. */
export class HttpFault extends Fault {
  readonly status: number;

  constructor(status: number, code: FaultCode, message: string, options: FaultOptions = {}) {
    super(code, message, options);
    this.status = status;
  }
}

export function httpStatus(fault: Fault): number {
  return fault instanceof HttpFault ? fault.status : statusOf[fault.code];
}
