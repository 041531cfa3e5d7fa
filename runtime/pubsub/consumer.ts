import { Fault } from '../core/fault.ts';
import { type Limits, maxTake } from './limits.ts';
import { ackScript, extendScript, mostExpired, rejectScript, takeScript } from './lua/consume.ts';
import type { Delivery, Lease, Message } from './message.ts';
import { seqOf } from './message-id.ts';
import { decodeRecord } from './record.ts';
import type { RedisStore } from './redis-store.ts';
import { type Choice, findLeases, isChoosy, takeSome } from './take-some.ts';
import type { Wakes } from './wakes.ts';

export interface TakeOptions extends Choice {
  /** Default 50, at most 1,000. */
  readonly max?: number;
  /** Of the data taken, in bytes; the first message that does not fit ends it. Default: no bound. */
  readonly maxBytes?: number;
  /** The first message is taken although it alone is larger than `maxBytes`; without a choice only. Default false. */
  readonly atLeastOne?: boolean;
  /** Default 30 s; `Infinity` for no end. */
  readonly leaseMs?: number;
  /** Failed attempts after which a message is dead; default 20. */
  readonly maxDeliveries?: number;
  /** Leased messages of the subscription at most, over all takers; default 1,000. */
  readonly maxInflight?: number;
  /** How long to wait for a message when there is none; default 0. */
  readonly waitMs?: number;
  /** How often a queue that is waited for is looked at although nothing woke its reader; default 1 s. */
  readonly lookMs?: number;
  /** Takes only while this is what `Holders` gave for the queue last; without a choice only. */
  readonly holder?: string;
  /** Ends the wait. */
  readonly signal?: AbortSignal;
}

export interface Rejection {
  /** Before it may be taken again; default 0. */
  readonly delayMs?: number;
  /** What went wrong, kept with the message: at most 1,000 characters. */
  readonly reason?: string;
  /** Makes it a dead letter now, for this reason. */
  readonly dead?: string;
  /** False when it is not the message's fault: a shutdown, an open breaker. Default true. */
  readonly countFailure?: boolean;
  /** Default 20. */
  readonly maxDeliveries?: number;
  /** Of the service that failed it. */
  readonly version?: string;
}

export type Rejected = 'waiting' | 'delayed' | 'dead' | 'gone';

/** Reason in the details of a Fault: the queue is another reader's now. */
export const notHeld = 'not-held';

const defaultMaxDeliveries = 20;
const defaultLeaseMs = 30_000;
/** 100 years: what has no end is in a score too. */
const longestLeaseMs = 100 * 365 * 86_400_000;
const maxReason = 1_000;
/** A wake that got lost costs a waiting reader at most so long. */
const defaultLookMs = 1_000;

/** Hands out messages under leases, and takes back what became of them. */
export class Consumer {
  readonly #store: RedisStore;
  readonly #limits: Limits;
  readonly #wakes: Wakes;
  readonly #may: (subKey: string, topic: string) => boolean;

  constructor(options: {
    readonly store: RedisStore;
    readonly limits: Limits;
    readonly wakes: Wakes;
    readonly mayReceive: (subKey: string, topic: string) => boolean;
  }) {
    this.#store = options.store;
    this.#limits = options.limits;
    this.#wakes = options.wakes;
    this.#may = options.mayReceive;
  }

  async take(subKey: string, options: TakeOptions = {}): Promise<readonly Delivery[]> {
    const { waitMs = 0, lookMs = defaultLookMs, signal } = options;
    const deadline = Date.now() + waitMs;
    let taken = await this.#takeNow(subKey, options);
    while (taken.length === 0 && !signal?.aborted && Date.now() < deadline) {
      await this.#wakes.announce(subKey);
      const given = new AbortController();
      const ending = signal ? AbortSignal.any([signal, given.signal]) : given.signal;
      // Before the look: what comes after it, and before its answer is here, wakes too.
      const waiting = this.#wakes.wait(subKey, Math.min(deadline - Date.now(), lookMs), ending);
      try {
        // Whatever came before the announcement woke nobody.
        taken = await this.#takeNow(subKey, options);
      } catch (error) {
        given.abort();
        throw error;
      }
      if (taken.length > 0) {
        given.abort();
        break;
      }
      const woken = await waiting;
      // Who only waited long enough looks after the next announcement, while there is time for one.
      const look = woken || Date.now() >= deadline;
      if (look && !signal?.aborted) taken = await this.#takeNow(subKey, options);
    }
    return taken;
  }

  async ack(subKey: string, leases: readonly Lease[]): Promise<readonly boolean[]> {
    if (leases.length === 0) return [];
    const reply = await this.#store.ask(ackScript, subKey, ...leases.flatMap(leaseArguments));
    return reply.map((held) => held === 1);
  }

  async extend(
    subKey: string,
    leases: readonly Lease[],
    leaseMs: number,
  ): Promise<readonly boolean[]> {
    if (leases.length === 0) return [];
    const args = leases.flatMap(leaseArguments);
    const reply = await this.#store.ask(extendScript, subKey, finite(leaseMs), ...args);
    return reply.map((held) => held === 1);
  }

  leases(subKey: string, ids: readonly string[]): Promise<readonly (Lease | undefined)[]> {
    return findLeases(this.#store, subKey, ids);
  }

  async reject(
    subKey: string,
    rejections: readonly (Lease & Rejection)[],
  ): Promise<readonly Rejected[]> {
    if (rejections.length === 0) return [];
    const args = rejections.flatMap((one) => [
      ...leaseArguments(one),
      Math.max(0, Math.round(one.delayMs ?? 0)),
      one.countFailure === false ? '0' : '1',
      one.maxDeliveries ?? defaultMaxDeliveries,
      one.dead ?? '',
      failureText(one),
    ]);
    const reply = await this.#store.ask(rejectScript, subKey, this.#limits.maxDead, ...args);
    return reply.map((outcome) => String(outcome) as Rejected);
  }

  async #takeNow(subKey: string, options: TakeOptions): Promise<readonly Delivery[]> {
    const { max = 50, maxBytes = Number.MAX_SAFE_INTEGER } = options;
    const leaseMs = finite(options.leaseMs ?? defaultLeaseMs);
    if (!(Number.isInteger(max) && max >= 1 && max <= maxTake)) {
      throw new Fault('bad-request', `${max} messages were asked for; 1 to ${maxTake} can be`);
    }
    if (isChoosy(options)) return await this.#takeSome(subKey, { ...options, max, leaseMs });
    const askedAt = Date.now();
    const ask = () =>
      this.#store.askBuffers(
        takeScript,
        subKey,
        max,
        maxBytes,
        leaseMs,
        options.maxDeliveries ?? defaultMaxDeliveries,
        options.maxInflight ?? 1_000,
        this.#limits.maxDead,
        options.atLeastOne ? 1 : 0,
        options.holder ?? '',
      );
    let [expired, ...flat] = await ask();
    // Behind so many that expired there may be others.
    while (flat.length === 0 && Number(expired) >= mostExpired) [expired, ...flat] = await ask();
    if (expired === -1) throw notHeldFault(subKey);
    const taken: Delivery[] = [];
    for (let at = 0; at + 2 < flat.length; at += 3) {
      const lease = { subKey, leasedUntil: askedAt + leaseMs, ...leaseOf(flat[at + 1]) };
      taken.push({ ...lease, message: messageOf(flat[at], flat[at + 2]) });
    }
    return await this.#withoutForbidden(subKey, taken);
  }

  async #takeSome(
    subKey: string,
    options: TakeOptions & { readonly max: number; readonly leaseMs: number },
  ): Promise<readonly Delivery[]> {
    const taken = await takeSome(this.#store, subKey, {
      maxBytes: Number.MAX_SAFE_INTEGER,
      maxDeliveries: defaultMaxDeliveries,
      maxInflight: 1_000,
      ...options,
      maxDead: this.#limits.maxDead,
    });
    return await this.#withoutForbidden(subKey, taken);
  }

  /** The permission may have been revoked while the message waited. */
  async #withoutForbidden(
    subKey: string,
    taken: readonly Delivery[],
  ): Promise<readonly Delivery[]> {
    const forbidden = taken.filter(({ message }) => !this.#may(subKey, message.topic));
    if (forbidden.length === 0) return taken;
    await this.reject(
      subKey,
      forbidden.map((delivery) => ({
        ...delivery,
        dead: 'not-permitted',
        reason: `may no longer subscribe to ${delivery.message.topic}`,
        countFailure: false,
      })),
    );
    return taken.filter((delivery) => !forbidden.includes(delivery));
  }
}

function notHeldFault(subKey: string): Fault {
  return new Fault('conflict', `Another reader has the queue of ${subKey}`, {
    details: { reason: notHeld },
  });
}

/** A number is the token of a first delivery. */
function leaseOf(facts: unknown): Pick<Delivery, 'token' | 'deliveries' | 'failures'> {
  if (typeof facts === 'number') return { token: String(facts), deliveries: 1, failures: 0 };
  const [token = '', deliveries, failures] = String(facts).split('|');
  return { token, deliveries: Number(deliveries), failures: Number(failures) };
}

function messageOf(seq: unknown, record: unknown): Message {
  if (!Buffer.isBuffer(record)) throw new Fault('internal', 'Internal error');
  return decodeRecord(Number(seq), record);
}

function finite(leaseMs: number): number {
  return Math.min(leaseMs, longestLeaseMs);
}

function leaseArguments({ message, token }: Lease): (string | number)[] {
  return [seqOf(message.msgId) ?? 0, token];
}

function failureText({ reason, version }: Rejection): string {
  if (reason === undefined && version === undefined) return '';
  return JSON.stringify({ e: reason?.slice(0, maxReason), v: version });
}
