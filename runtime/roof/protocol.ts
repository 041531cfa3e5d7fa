import type { RedisTarget } from '../redis/target.ts';

/** What a worker is told first. */
export interface WorkerSetup {
  readonly redis: RedisTarget;
  /** Relative to the project: `services`. */
  readonly servicesFolder: string;
  readonly dataDir: string;
  /** Name of a stand-in -> its URL on this machine. */
  readonly standins: Readonly<Record<string, string>>;
  /** How many serve: each has its share of an outgoing connection's pool. */
  readonly workers: number;
  /** Whether REST clients may subscribe and unsubscribe themselves. */
  readonly restSubscribe: boolean;
}

/** On a worker's command line, as JSON: what it needs before it can be told anything. */
export interface WorkerBirth {
  readonly id: number;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  readonly heartbeatMs: number;
  /** Where it notes which service file it is evaluating, so that its death can be explained. */
  readonly markFile: string;
}

export interface InvokeOrder {
  readonly service: string;
  readonly input: unknown;
  readonly cid: string;
  readonly timeoutMs?: number;
}

export interface InvokeResult {
  readonly payload: unknown;
  readonly version: number;
}

export interface ServiceCounters {
  readonly name: string;
  readonly version: number;
  readonly calls: number;
  readonly errors: number;
  readonly inFlight: number;
}
