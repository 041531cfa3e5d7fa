/** What can go wrong, as a closed set: each door maps every code to its protocol's status. */
export type FaultCode =
  | 'bad-request'
  | 'unauthorized'
  | 'forbidden'
  | 'not-found'
  | 'method-not-allowed'
  | 'conflict'
  | 'too-large'
  | 'too-many'
  | 'timeout'
  | 'unavailable'
  | 'internal';

export interface FaultOptions {
  /** Facts for the caller, safe to show: field names, limits, a list of problems. */
  readonly details?: unknown;
  readonly cause?: unknown;
  /** How long the caller should wait before another try, in ms. */
  readonly retryAfterMs?: number;
}

const brand = Symbol.for('hence.Fault');

/** An expected failure: something a caller caused or can act on. Anything else thrown is a bug. */
export class Fault extends Error {
  readonly code: FaultCode;
  readonly details: unknown;
  readonly retryAfterMs: number | undefined;

  constructor(code: FaultCode, message: string, options: FaultOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'Fault';
    this.code = code;
    this.details = options.details;
    this.retryAfterMs = options.retryAfterMs;
    Object.defineProperty(this, brand, { value: true });
  }

  /** True for a Fault of any copy of this package, so that a second copy in a project does no harm. */
  static is(thrown: unknown): thrown is Fault {
    return typeof thrown === 'object' && thrown !== null && brand in thrown;
  }

  /** The only way from `unknown` to a Fault: what is not one becomes `internal`, with its cause. */
  static from(thrown: unknown): Fault {
    if (Fault.is(thrown)) return thrown;
    return new Fault('internal', 'Internal error', { cause: thrown });
  }
}

/** A Fault as it crosses a process boundary. */
export interface FaultRecord {
  readonly code: FaultCode;
  readonly message: string;
  readonly details?: unknown;
  readonly retryAfterMs?: number;
  /** The stack of the cause, for the log only: a client never sees it. */
  readonly stack?: string;
}

export function faultToRecord(thrown: unknown): FaultRecord {
  const fault = Fault.from(thrown);
  const origin = fault.code === 'internal' && fault.cause !== undefined ? fault.cause : fault;
  return {
    code: fault.code,
    message: fault.message,
    ...(fault.details === undefined ? {} : { details: fault.details }),
    ...(fault.retryAfterMs === undefined ? {} : { retryAfterMs: fault.retryAfterMs }),
    stack: origin instanceof Error ? (origin.stack ?? origin.message) : String(origin),
  };
}

export function faultFromRecord(record: FaultRecord): Fault {
  return new Fault(record.code, record.message, {
    details: record.details,
    cause: record.stack,
    ...(record.retryAfterMs === undefined ? {} : { retryAfterMs: record.retryAfterMs }),
  });
}
