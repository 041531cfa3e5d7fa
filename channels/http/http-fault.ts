import { Fault, type FaultCode, type FaultOptions } from '../../runtime/core/fault.ts';
import { httpStatus } from '../../runtime/core/http-status.ts';

/** A Fault for which HTTP has a better word than the table: 408, 414, 415, 431. */
export class HttpFault extends Fault {
  readonly status: number;

  constructor(status: number, code: FaultCode, message: string, options: FaultOptions = {}) {
    super(code, message, options);
    this.status = status;
  }
}

export function statusOf(fault: Fault): number {
  return fault instanceof HttpFault ? fault.status : httpStatus[fault.code];
}
