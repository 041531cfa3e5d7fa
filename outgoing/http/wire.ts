import { Client, errors } from 'undici';
import { parseDuration } from '../../runtime/core/duration.ts';
import { Fault } from '../../runtime/core/fault.ts';
import { Deadline, GivenUp, type Late, NoneFree } from './deadline.ts';
import type { OutgoingSpec } from './definition.ts';
import { type Circumstances, type Failure, type FailureKind, failureOf } from './failure.ts';
import type { Outbound } from './outbound.ts';
import { HttpReply } from './reply.ts';
import type { Outcome } from './retry.ts';
import { Slots } from './slots.ts';
import { type AcquireSocket, type Asker, Sockets } from './sockets.ts';

export interface WireOptions {
  readonly name: string;
  readonly spec: OutgoingSpec;
  /** Where it really goes: the definition's origin or a stand-in's. */
  readonly origin: string;
  readonly acquire: AcquireSocket | undefined;
  /** Processes that share the pool. */
  readonly workers: number;
}

/** At most one socket, for one exchange at a time. */
interface Slot {
  readonly client: Client;
  asker: Asker | undefined;
}

type Try = Outcome & { readonly stale?: boolean };

const idempotent = new Set(['GET', 'HEAD', 'PUT', 'DELETE']);
/** An idle socket is let go before most servers would close it under us. */
const keepAliveMs = 4_000;

/** This process's share of a pool of sockets to one origin; each exchange ends in a reply or a failure, never a throw. */
export class Wire {
  readonly origin: string;
  readonly #at: Circumstances;
  readonly #format: OutgoingSpec['dataFormat'];
  readonly #late: Late;
  readonly #slots: Slots<Slot>;
  readonly #sockets: Sockets;
  /** With less than one socket for each process none is kept: it would be one that another waits for. */
  readonly #kept: boolean;
  #closing = false;

  constructor({ name, spec, origin, acquire, workers }: WireOptions) {
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
    this.#late = lateOf({ name, place: this.place, pool: spec.pool }, timeoutMs);
    this.#kept = acquire === undefined || spec.pool >= workers;
    const share = Math.max(1, Math.floor(spec.pool / workers));
    this.#slots = new Slots(share, () => this.#slot(timeoutMs));
  }

  get place(): string {
    return this.#at.place;
  }

  /** One try within its own time. A kept socket that had died is replaced once where that is safe. */
  async exchange(request: Outbound, call: Deadline): Promise<Outcome> {
    const deadline = new Deadline(this.#at.attemptMs, this.#late, { signal: call.signal });
    const { signal } = deadline;
    const queued = (waits: boolean) => {
      call.queued = waits;
      deadline.queued = waits;
    };
    try {
      if (this.#closing) throw new errors.ClientClosedError();
      queued(true);
      const slot = await this.#slots.take(signal);
      queued(false);
      return await this.#onSlot(slot, request, { signal, queued });
    } catch (error) {
      return { kind: 'failure', failure: this.#failure(error) };
    } finally {
      queued(false);
      deadline.end();
    }
  }

  /** Resolves when every exchange has ended and the sockets are closed. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#slots.idle();
    await Promise.all(this.#slots.all.map(({ client }) => client.close()));
  }

  #slot(timeoutMs: number): Slot {
    const slot: Slot = {
      asker: undefined,
      client: new Client(this.origin, {
        pipelining: 1,
        connect: this.#sockets.connector(() => slot.asker),
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
        keepAliveTimeout: keepAliveMs,
        // Whatever the server hints.
        keepAliveMaxTimeout: keepAliveMs,
        maxResponseSize: this.#at.maxResponse,
      }),
    };
    return slot;
  }

  /** Ends with its asker; the slot is free again only when nothing of the exchange is left on it. */
  async #onSlot(slot: Slot, request: Outbound, asker: Asker): Promise<Outcome> {
    slot.asker = asker;
    const tries = this.#tries(slot.client, request, asker.signal).finally(() => {
      slot.asker = undefined;
      this.#slots.give(slot);
    });
    return await until(tries, asker.signal);
  }

  async #tries(client: Client, request: Outbound, signal: AbortSignal): Promise<Outcome> {
    const first = await this.#once(client, request, signal);
    return first.stale && !signal.aborted ? await this.#once(client, request, signal) : first;
  }

  async #once(client: Client, request: Outbound, signal: AbortSignal): Promise<Try> {
    let answered = false;
    try {
      const reset = this.#kept ? {} : { reset: true };
      const response = await client.request({ ...request, ...reset, signal });
      answered = true;
      const body = Buffer.from(await response.body.arrayBuffer());
      const raw = { status: response.statusCode, headers: response.headers, body };
      return { kind: 'reply', reply: new HttpReply(this.#at.name, this.#format, raw) };
    } catch (error) {
      const failure = this.#failure(error);
      const stale =
        !answered &&
        idempotent.has(request.method) &&
        failure.kind === 'reset' &&
        this.#sockets.wasUsed(error);
      return { kind: 'failure', failure, stale };
    }
  }

  #failure(error: unknown): Failure {
    return Fault.is(error) ? { kind: kindOf(error), fault: error } : failureOf(error, this.#at);
  }
}

/** The promise's own outcome, or the signal's reason when that comes first. */
async function until<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let leave = () => {};
  const left = new Promise<never>((_, reject) => {
    leave = () => reject(signal.reason);
    signal.addEventListener('abort', leave, { once: true });
  });
  try {
    return await Promise.race([promise, left]);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}

/** Faults come from the deadlines: our own time is up, or the caller's. */
function kindOf(fault: Fault): FailureKind {
  if (fault instanceof GivenUp) return 'caller';
  return fault instanceof NoneFree ? 'queue' : 'timeout';
}

/** The URL as it may be shown: the path with its params unfilled, no query. */
export function placeOf(origin: string, spec: OutgoingSpec): string {
  return origin + new URL(spec.url).pathname.replace(/\/$/, '') + spec.path;
}

/** What is said when the time is up: of the other side, or of the pool when that was waited for. */
export function lateOf(
  { name, place, pool }: { name: string; place: string; pool: number },
  timeoutMs: number,
): Late {
  return (queued) =>
    queued
      ? new NoneFree(
          'timeout',
          `Outgoing ${name}: no connection was free in ${timeoutMs} ms (pool ${pool})`,
        )
      : new Fault('timeout', `Outgoing ${name}: ${place} did not answer in ${timeoutMs} ms`);
}
