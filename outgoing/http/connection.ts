import { formatDuration, parseDuration } from '../../runtime/core/duration.ts';
import { Fault } from '../../runtime/core/fault.ts';
import type { Logger } from '../../runtime/log/logger.ts';
import type {
  OutgoingCalls,
  OutgoingReply,
  OutgoingRequest,
  PingResult,
} from '../../runtime/service/ports.ts';
import { Breaker, type Verdict } from './breaker.ts';
import { type Clock, systemClock } from './clock.ts';
import { Deadline, GivenUp } from './deadline.ts';
import type { Method, OutgoingSpec } from './definition.ts';
import { Guard, type Notice } from './guard.ts';
import { headersOf } from './headers.ts';
import { type Draft, type Outbound, outbound } from './outbound.ts';
import { type Outcome, RetryPolicy, reasonOf } from './retry.ts';
import type { Environment, Sealer } from './secrets.ts';
import type { AcquireSocket } from './sockets.ts';
import { lateOf, placeOf, Wire } from './wire.ts';

export interface ConnectionOptions {
  readonly sealer: Sealer;
  readonly log: Logger;
  /** The address of a running stand-in. */
  readonly standinUrl: (name: string) => string | undefined;
  /** What `${env:NAME}` means. */
  readonly env?: Environment;
  /** Asked before each new socket, so that the pool's limit holds over several processes. */
  readonly acquireSocket?: AcquireSocket;
  /** Processes that share the pool, each with its part; 1 when not given. */
  readonly workers?: number;
  /** Told what the other processes should heed too. */
  readonly onNotice?: (connection: string, notice: Notice) => void;
  readonly clock?: Clock;
}

/** How a connection is doing, in this process. */
export interface ConnectionState {
  readonly breaker: 'off' | 'closed' | 'open' | 'half-open';
  /** ISO 8601. */
  readonly parkedUntil?: string;
  readonly pausedUntil?: string;
  readonly inFlight: number;
  readonly lastError?: { readonly at: string; readonly message: string };
}

/** Calls over one outgoing connection, as its definition says. */
export class OutgoingConnection implements OutgoingCalls {
  readonly name: string;
  readonly #spec: OutgoingSpec;
  readonly #options: ConnectionOptions;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #retry: RetryPolicy;
  readonly #guard: Guard;
  readonly #breaker: Breaker<Outcome> | undefined;
  #wire: Wire | undefined;
  #headers: Readonly<Record<string, string>> | undefined;
  #inFlight = 0;
  #idle: (() => void) | undefined;
  #closing: Promise<void> | undefined;
  #lastError: ConnectionState['lastError'];

  constructor(name: string, spec: OutgoingSpec, options: ConnectionOptions) {
    this.name = name;
    this.#spec = spec;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#timeoutMs = parseDuration(spec.timeout);
    this.#retry = new RetryPolicy(spec.retry);
    this.#guard = new Guard(name, spec);
    const { failures, reset } = spec.breaker;
    this.#breaker =
      failures === 0 ? undefined : new Breaker(failures, parseDuration(reset), verdictOf);
  }

  send(cid: string, data?: unknown, request?: OutgoingRequest): Promise<OutgoingReply> {
    return this.#call(cid, this.#spec.method, data, request);
  }

  get(cid: string, request?: OutgoingRequest): Promise<OutgoingReply> {
    return this.#call(cid, 'GET', undefined, request);
  }

  post(cid: string, data?: unknown, request?: OutgoingRequest): Promise<OutgoingReply> {
    return this.#call(cid, 'POST', data, request);
  }

  put(cid: string, data?: unknown, request?: OutgoingRequest): Promise<OutgoingReply> {
    return this.#call(cid, 'PUT', data, request);
  }

  patch(cid: string, data?: unknown, request?: OutgoingRequest): Promise<OutgoingReply> {
    return this.#call(cid, 'PATCH', data, request);
  }

  delete(cid: string, request?: OutgoingRequest): Promise<OutgoingReply> {
    return this.#call(cid, 'DELETE', undefined, request);
  }

  /** One call of the ping's path, past breaker, parking and retries; never throws. */
  async ping(cid: string): Promise<PingResult> {
    const { path, method, expect } = this.#spec.ping;
    const spec = { ...this.#spec, path };
    const url = placeOf(this.#origin() ?? new URL(spec.url).origin, spec);
    const began = performance.now();
    const result = (more: Pick<PingResult, 'ok' | 'status' | 'error'>): PingResult => ({
      connection: this.name,
      url,
      ms: Math.round(performance.now() - began),
      ...more,
    });
    try {
      const reply = await this.#pinged(cid, method, spec);
      const ok = expect === undefined ? reply.status < 500 : reply.status === expect;
      const error = `answered ${reply.status}, not ${expect ?? 'below 500'}`;
      return result({ ok, status: reply.status, ...(ok ? {} : { error }) });
    } catch (thrown) {
      return result({ ok: false, error: Fault.from(thrown).message });
    }
  }

  state(): ConnectionState {
    const now = this.#clock.now();
    const parked = this.#guard.parkedUntil(now);
    const paused = this.#guard.pausedUntil(now);
    return {
      breaker: this.#breaker?.state ?? 'off',
      inFlight: this.#inFlight,
      ...(parked === undefined ? {} : { parkedUntil: new Date(parked).toISOString() }),
      ...(paused === undefined ? {} : { pausedUntil: new Date(paused).toISOString() }),
      ...(this.#lastError === undefined ? {} : { lastError: this.#lastError }),
    };
  }

  /** Heeds what another process learned. */
  heed(notice: Notice): void {
    this.#guard.heed(notice);
  }

  /** Takes no new calls; resolves when those in flight have ended. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#inFlight > 0) {
      await new Promise<void>((resolveIdle) => {
        this.#idle = resolveIdle;
      });
    }
    this.#breaker?.stop();
    await this.#wire?.close();
  }

  async #call(
    cid: string,
    method: Method,
    data: unknown,
    request: OutgoingRequest = {},
  ): Promise<OutgoingReply> {
    this.#inFlight++;
    try {
      this.#guard.check(this.#clock.now());
      const wire = this.#wireNow();
      const out = this.#outbound(this.#spec, { cid, method, data, request });
      return await this.#within(wire.place, request, (call) =>
        this.#tries(wire, out, { call, once: request.retry === false }),
      );
    } catch (thrown) {
      this.#lastError = {
        at: new Date(this.#clock.now()).toISOString(),
        message: Fault.from(thrown).message,
      };
      throw thrown;
    } finally {
      this.#inFlight--;
      if (this.#inFlight === 0) this.#idle?.();
    }
  }

  /** Runs `work` until the call's own deadline, or its caller, ends it. */
  async #within<T>(
    place: string,
    request: OutgoingRequest,
    work: (call: Deadline) => Promise<T>,
  ): Promise<T> {
    const timeoutMs = Math.min(this.#timeoutMs, request.timeoutMs ?? this.#timeoutMs);
    const { name } = this;
    const late = lateOf({ name, place, pool: this.#spec.pool }, timeoutMs);
    const caller = request.signal;
    const giveUp = () =>
      new GivenUp('timeout', `Outgoing ${this.name}: given up by its caller`, {
        cause: caller?.reason,
      });
    const call = new Deadline(timeoutMs, late, caller && { signal: caller, giveUp });
    try {
      return await work(call);
    } finally {
      call.end();
    }
  }

  async #tries(
    wire: Wire,
    out: Outbound,
    { call, once }: { readonly call: Deadline; readonly once: boolean },
  ): Promise<OutgoingReply> {
    const endsAt = this.#clock.now() + call.timeoutMs;
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#try(wire, out, call);
      call.signal.throwIfAborted();
      if (once) return ended(outcome, attempt);
      const now = this.#clock.now();
      const moment = { ms: now, random: this.#clock.random() };
      const delayMs = this.#retry.delayMs(out.method, outcome, attempt, moment);
      // A try that could not begin before the deadline is not waited for.
      if (delayMs === undefined || now + delayMs >= endsAt || this.#held(now + delayMs)) {
        return ended(outcome, attempt);
      }
      this.#options.log.warn('outgoing call is tried again', {
        connection: this.name,
        cid: out.headers['x-hence-cid'],
        attempt,
        reason: reasonOf(outcome),
        delayMs: Math.round(delayMs),
      });
      await this.#clock.wait(delayMs, call.signal);
      if (this.#held(this.#clock.now())) return ended(outcome, attempt);
    }
  }

  async #try(wire: Wire, out: Outbound, call: Deadline): Promise<Outcome> {
    const exchange = () => wire.exchange(out, call);
    const outcome = await (this.#breaker === undefined ? exchange() : this.#breaker.run(exchange));
    if (outcome === undefined)
      return { kind: 'failure', failure: { kind: 'refused', fault: this.#openFault() } };
    const notice =
      outcome.kind === 'reply' ? this.#guard.read(outcome.reply, this.#clock.now()) : undefined;
    if (notice !== undefined) this.#noticed(notice);
    return outcome;
  }

  #noticed(notice: Notice): void {
    const paused = this.#guard.heed(notice);
    this.#options.onNotice?.(this.name, notice);
    if (!paused) return;
    const { refusals, pause } = this.#spec.banGuard;
    this.#options.log.error('outgoing connection paused: too many of its calls were refused', {
      connection: this.name,
      refusals,
      pause,
    });
  }

  #held(at: number): boolean {
    return this.#guard.parkedUntil(at) !== undefined || this.#guard.pausedUntil(at) !== undefined;
  }

  #openFault(): Fault {
    const waitMs = this.#breaker?.waitMs ?? 0;
    const when =
      waitMs === 0 ? 'one call is trying it now' : `next try in ${formatDuration(waitMs)}`;
    return new Fault('unavailable', `Outgoing ${this.name}: its breaker is open, ${when}`, {
      retryAfterMs: Math.max(waitMs, 1_000),
    });
  }

  #origin(): string | undefined {
    const { mode, standin, url } = this.#spec;
    if (mode === 'live') return new URL(url).origin;
    const address = this.#options.standinUrl(standin ?? this.name);
    return address === undefined ? undefined : new URL(address).origin;
  }

  /** The pool to where the connection points now: a stand-in may have moved to another port. */
  #wireNow(): Wire {
    if (this.#closing !== undefined) {
      throw new Fault('unavailable', `Outgoing ${this.name}: it was changed or removed`);
    }
    if (!this.#spec.enabled)
      throw new Fault('unavailable', `Outgoing ${this.name}: it is disabled`);
    const origin = this.#origin();
    if (origin === undefined) {
      throw new Fault(
        'unavailable',
        `Outgoing ${this.name}: no stand-in ${this.#spec.standin ?? this.name} is running`,
      );
    }
    if (this.#wire?.origin === origin) return this.#wire;
    // Closing waits for the calls that are still on it; they hold it themselves.
    void this.#wire?.close().catch(() => {});
    this.#wire = new Wire({
      name: this.name,
      spec: this.#spec,
      origin,
      acquire: this.#options.acquireSocket,
      workers: this.#options.workers ?? 1,
    });
    return this.#wire;
  }

  async #pinged(cid: string, method: Method, spec: OutgoingSpec): Promise<OutgoingReply> {
    const wire = this.#wireNow();
    const out = this.#outbound(spec, { cid, method, data: undefined, request: {} });
    return ended(await this.#within(wire.place, {}, (call) => wire.exchange(out, call)), 1);
  }

  #outbound(
    spec: OutgoingSpec,
    call: Pick<Draft, 'cid' | 'method' | 'data' | 'request'>,
  ): Outbound {
    this.#headers ??= headersOf(this.name, spec, this.#options);
    return outbound({ name: this.name, spec, headers: this.#headers, ...call });
  }
}

/** A reply of any status is a reply; what is no reply is thrown. */
function ended(outcome: Outcome, attempts: number): OutgoingReply {
  if (outcome.kind === 'reply') return outcome.reply;
  const { fault } = outcome.failure;
  if (attempts === 1) throw fault;
  throw new Fault(fault.code, `${fault.message} (${attempts} tries)`, {
    cause: fault.cause,
    ...(fault.retryAfterMs === undefined ? {} : { retryAfterMs: fault.retryAfterMs }),
  });
}

function verdictOf(outcome: Outcome): Verdict {
  if (outcome.kind === 'reply') return outcome.reply.status >= 500 ? 'bad' : 'good';
  const { kind } = outcome.failure;
  return kind === 'caller' || kind === 'queue' ? 'neither' : 'bad';
}
