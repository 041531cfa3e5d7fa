import { Pool } from 'undici';
import { parseDuration } from '../../runtime/core/duration.ts';
import { Fault } from '../../runtime/core/fault.ts';
import { Deadline, GivenUp } from './deadline.ts';
import type { OutgoingSpec } from './definition.ts';
import { type Circumstances, type FailureKind, failureOf } from './failure.ts';
import type { Outbound } from './outbound.ts';
import { HttpReply } from './reply.ts';
import type { Outcome } from './retry.ts';
import { type AcquireSocket, Sockets } from './sockets.ts';

export interface WireOptions {
  readonly name: string;
  readonly spec: OutgoingSpec;
  /** Where it really goes: the definition's origin or a stand-in's. */
  readonly origin: string;
  readonly acquire: AcquireSocket | undefined;
}

const idempotent = new Set(['GET', 'HEAD', 'PUT', 'DELETE']);
/** An idle socket is let go before most servers would close it under us. */
const keepAliveMs = 4_000;

/** One pool of sockets to one origin; each exchange ends in a reply or a failure, never a throw. */
export class Wire {
  readonly origin: string;
  readonly #at: Circumstances;
  readonly #format: OutgoingSpec['dataFormat'];
  readonly #pool: Pool;
  readonly #sockets: Sockets;

  constructor({ name, spec, origin, acquire }: WireOptions) {
    const timeoutMs = parseDuration(spec.attemptTimeout ?? spec.timeout);
    const connectMs = Math.min(parseDuration(spec.connectTimeout), timeoutMs);
    this.origin = origin;
    this.#format = spec.dataFormat;
    this.#at = {
      name,
      place: placeOf(origin, spec),
      connectMs,
      attemptMs: timeoutMs,
      maxResponse: spec.maxResponse,
    };
    this.#sockets = new Sockets({ name, limit: spec.pool, connectMs, acquire });
    this.#pool = new Pool(origin, {
      connections: spec.pool,
      pipelining: 1,
      connect: this.#sockets.connector,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      keepAliveTimeout: keepAliveMs,
      // Whatever the server hints: an idle socket may be one that another process waits for.
      keepAliveMaxTimeout: keepAliveMs,
      maxResponseSize: spec.maxResponse,
    });
  }

  get place(): string {
    return this.#at.place;
  }

  /** One try within its own time. A kept socket that had died is replaced once where that is safe. */
  async exchange(request: Outbound, call: AbortSignal): Promise<Outcome> {
    const late = () =>
      new Fault(
        'timeout',
        `Outgoing ${this.#at.name}: ${this.place} did not answer in ${this.#at.attemptMs} ms`,
      );
    const deadline = new Deadline(this.#at.attemptMs, late, { signal: call });
    try {
      const first = await this.#once(request, deadline.signal);
      return first.stale && !deadline.signal.aborted
        ? await this.#once(request, deadline.signal)
        : first;
    } finally {
      deadline.end();
    }
  }

  /** Resolves when every exchange has ended and the sockets are closed. */
  async close(): Promise<void> {
    await this.#pool.close();
  }

  async #once(request: Outbound, signal: AbortSignal): Promise<Outcome & { stale?: boolean }> {
    let answered = false;
    try {
      const response = await this.#pool.request({ ...request, signal });
      answered = true;
      const body = Buffer.from(await response.body.arrayBuffer());
      const raw = { status: response.statusCode, headers: response.headers, body };
      return { kind: 'reply', reply: new HttpReply(this.#at.name, this.#format, raw) };
    } catch (error) {
      const failure = Fault.is(error)
        ? { kind: kindOf(error), fault: error }
        : failureOf(error, this.#at);
      const stale =
        !answered &&
        idempotent.has(request.method) &&
        failure.kind === 'reset' &&
        this.#sockets.wasUsed(error);
      return { kind: 'failure', failure, stale };
    }
  }
}

/** Faults come from the deadlines: our own time is up, or the caller's. */
function kindOf(fault: Fault): FailureKind {
  return fault instanceof GivenUp ? 'caller' : 'timeout';
}

/** The URL as it may be shown: the path with its params unfilled, no query. */
export function placeOf(origin: string, spec: OutgoingSpec): string {
  return origin + new URL(spec.url).pathname.replace(/\/$/, '') + spec.path;
}
