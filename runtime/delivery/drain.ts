import { background } from '../core/background.ts';
import type { Delivery } from '../pubsub/message.ts';
import { Running } from './attempt.ts';
import type { Gate, Gates } from './gates.ts';
import type { Marks } from './marks.ts';
import type { Target } from './outcome.ts';
import type { DeliveryBroker } from './ports.ts';
import { Settlement } from './settlement.ts';
import {
  type DeliverySubscription,
  type DeliverySubscriptions,
  endpointOf,
} from './subscription.ts';
import { type Told, Verdicts } from './verdicts.ts';

/** What all drains of a process share. */
export interface DrainParts {
  readonly broker: DeliveryBroker;
  readonly subscriptions: DeliverySubscriptions;
  readonly targetOf: (subscription: DeliverySubscription) => Target;
  readonly gates: Gates;
  readonly marks: Marks;
  readonly told: Told;
  /** Of a lease; it is renewed while the delivery runs. */
  readonly leaseMs: number;
  readonly sliceMs: number;
  /** Other subscriptions wait for this one's place. */
  readonly crowded: (subKey: string) => Promise<boolean>;
}

/** Why a drain ended: nothing waits, others want its place, or what waits must wait for so long. */
export type DrainEnd =
  | { readonly kind: 'empty' }
  | { readonly kind: 'again' }
  | { readonly kind: 'rest'; readonly ms: number };

/** A resumed subscription is woken; this is for the wake that got lost. */
const idleRestMs = 30_000;
const absentRestMs = 5_000;
const troubleRestMs = 1_000;
/** So much work is taken at once at most, lest it wait here while it could be delivered elsewhere. */
const bufferMs = 500;
const firstPollMs = 20;
const lastPollMs = 500;

/** Delivers the messages of one subscription, until none waits or its time is up. */
export class Drain {
  readonly subKey: string;
  readonly #parts: DrainParts;
  readonly #settlement: Settlement;
  readonly #verdicts: Verdicts;
  readonly #leased = new Map<string, Delivery>();
  readonly #running = new Set<Running>();
  #buffer: Delivery[] = [];
  #stopped = false;
  #suspectsUntil = 0;
  #sliceEnd = 0;
  #pollMs = firstPollMs;
  /** Deliveries at once, as of now. */
  #places = 1;
  /** The next batch, asked for while this one is delivered. */
  #ahead: Promise<readonly Delivery[]> | undefined;
  #meanMs: number | undefined;
  #changed: (() => void) | undefined;

  constructor(subKey: string, parts: DrainParts) {
    this.subKey = subKey;
    this.#parts = parts;
    this.#settlement = new Settlement({
      broker: parts.broker,
      subKey,
      onEnd: (token) => this.#leased.delete(token),
      onLost: (error, messages) => parts.told.lost(subKey, error, messages),
    });
    this.#verdicts = new Verdicts({ ...parts, settlement: this.#settlement });
  }

  /** @param stalled the process that delivered before died, or hung */
  async run(stalled: boolean): Promise<DrainEnd> {
    const keeping = setInterval(() => this.#keep(), this.#parts.leaseMs / 3);
    try {
      await this.#begin(stalled);
      for (;;) {
        const end = await this.#turn();
        if (end) return end;
      }
    } catch (error) {
      this.#parts.told.trouble(this.subKey, error);
      return { kind: 'rest', ms: troubleRestMs };
    } finally {
      await this.#end();
      clearInterval(keeping);
    }
  }

  /** Takes no more and gives back what has not begun; ends when what runs has ended. */
  stop(): void {
    this.#stopped = true;
    this.#changed?.();
  }

  /** What runs is not waited for any more: its messages go back. */
  abandon(): void {
    this.stop();
    this.#settlement.hurry();
    for (const running of this.#running) running.abandon();
  }

  async #begin(stalled: boolean): Promise<void> {
    const { broker, marks, sliceMs, leaseMs } = this.#parts;
    this.#sliceEnd = performance.now() + sliceMs;
    const suspicionMs = 2 * leaseMs;
    const marked = stalled
      ? marks.suspect(this.subKey, suspicionMs)
      : marks.suspectsMs(this.subKey);
    const [leftMs] = await Promise.all([marked, broker.awake(this.subKey)]);
    this.#suspectsUntil = performance.now() + (leftMs ?? suspicionMs);
  }

  async #turn(): Promise<DrainEnd | undefined> {
    const subscription = this.#parts.subscriptions.get(this.subKey);
    const end = this.#halt(subscription);
    if (end || !subscription) return end;
    const alone = this.#alone(subscription);
    this.#places = alone ? 1 : subscription.concurrency;
    this.#fill();
    if (this.#buffer.length > 0 || this.#running.size >= this.#places) {
      await this.#change();
      return undefined;
    }
    // What is on its way to Redis still counts as taken.
    if (alone) await this.#settlement.flushed();
    return await this.#refill(subscription);
  }

  /** Why nothing more may be begun now. */
  #halt(subscription: DeliverySubscription | undefined): DrainEnd | undefined {
    if (this.#stopped) return { kind: 'again' };
    if (!subscription?.enabled || subscription.paused) return { kind: 'rest', ms: idleRestMs };
    const { restMs } = this.#verdicts;
    if (restMs !== undefined) return { kind: 'rest', ms: restMs };
    const { closedMs } = this.#parts.gates.of(endpointOf(subscription));
    return closedMs > 0 ? { kind: 'rest', ms: closedMs } : undefined;
  }

  /** Begins what there is a place for. */
  #fill(): void {
    while (this.#buffer.length > 0 && this.#running.size < this.#places) {
      const subscription = this.#parts.subscriptions.get(this.subKey);
      if (!subscription || this.#halt(subscription)) return;
      this.#start(subscription);
    }
  }

  async #refill(subscription: DeliverySubscription): Promise<DrainEnd | undefined> {
    if (this.#ahead === undefined && (await this.#sliceOver())) return { kind: 'again' };
    if (!this.#parts.targetOf(subscription).ready(subscription)) {
      return { kind: 'rest', ms: absentRestMs };
    }
    const gate = this.#parts.gates.of(endpointOf(subscription));
    const look = await gate.look(subscription.timeoutMs + this.#parts.leaseMs);
    if (look.kind === 'closed') return { kind: 'rest', ms: look.waitMs };
    const probe = look.kind === 'probe';
    const room = probe || this.#places === 1 ? 1 : this.#room(subscription);
    const taken = await (this.#ahead ?? this.#take(subscription, room));
    this.#ahead = undefined;
    const [first] = taken;
    if (!first) return await this.#nothing(gate, probe);
    this.#pollMs = firstPollMs;
    this.#verdicts.probing = probe ? first.token : undefined;
    // Redis finds the next ones while these are delivered.
    const goesOn = room > this.#places && taken.length === room;
    if (goesOn && performance.now() < this.#sliceEnd) {
      this.#ahead = this.#take(subscription, room);
      // Its failure is told where it is awaited.
      background(this.#ahead, () => {});
    }
    this.#buffer.push(...taken);
    await this.#suspect(first);
    return subscription.ordered ? await this.#inTurn(first) : undefined;
  }

  async #take(subscription: DeliverySubscription, max: number): Promise<readonly Delivery[]> {
    const { ordered, maxDeliveries, leaseMs, maxInflight } = subscription;
    const options = {
      max,
      maxDeliveries,
      leaseMs: Math.min(leaseMs, this.#parts.leaseMs),
      // One at a time over all processes, even over one that does not know yet that it was replaced.
      ...(ordered ? { maxInflight: 1 } : maxInflight === undefined ? {} : { maxInflight }),
    };
    const taken = await this.#parts.broker.take(this.subKey, options);
    for (const delivery of taken) this.#leased.set(delivery.token, delivery);
    return taken;
  }

  /** A message that may have overtaken one that waits for its next attempt goes back. */
  async #inTurn({ message }: Delivery): Promise<DrainEnd | undefined> {
    const heldMs = await this.#parts.marks.heldMs(this.subKey, message.msgId);
    return heldMs === 0 ? undefined : { kind: 'rest', ms: heldMs };
  }

  async #nothing(gate: Gate, probe: boolean): Promise<DrainEnd | undefined> {
    if (probe) await gate.unprobed();
    if (this.#running.size === 0) return { kind: 'empty' };
    // New messages wake nobody while this drain runs.
    await this.#change(this.#pollMs);
    this.#pollMs = Math.min(this.#pollMs * 2, lastPollMs);
    return undefined;
  }

  #start(subscription: DeliverySubscription): void {
    const delivery = this.#buffer.shift();
    // Its lease ran out here: it is somebody else's.
    if (!delivery || !this.#leased.has(delivery.token)) return;
    const target = this.#parts.targetOf(subscription);
    const running = new Running(target, subscription, delivery);
    this.#running.add(running);
    void running.ended
      .then((ended) => {
        const ms = running.ms;
        this.#meanMs = this.#meanMs === undefined ? ms : this.#meanMs * 0.9 + ms * 0.1;
        return this.#verdicts.apply(running, ended, target.version(subscription));
      })
      .catch((error: unknown) => this.#parts.told.trouble(this.subKey, error))
      .finally(() => {
        this.#running.delete(running);
        this.#fill();
        if (this.#buffer.length === 0 || this.#running.size === 0) this.#changed?.();
      });
  }

  /** The search goes on while there is anything to suspect: a message that was handed out before. */
  async #suspect(delivery: Delivery | undefined): Promise<void> {
    const suspicionMs = 2 * this.#parts.leaseMs;
    const leftMs = this.#suspectsUntil - performance.now();
    // Until half of the time is over, some may still be leased to the process that died.
    if (leftMs <= 0 || leftMs > suspicionMs / 2 || !delivery) return;
    if (delivery.deliveries < 2) {
      this.#suspectsUntil = 0;
      await this.#parts.marks.suspect(this.subKey, 1);
      return;
    }
    await this.#parts.marks.suspect(this.subKey, suspicionMs);
    this.#suspectsUntil = performance.now() + suspicionMs;
  }

  /** In order; or because one of the messages may have killed the process that held it. */
  #alone({ ordered }: DeliverySubscription): boolean {
    return ordered || performance.now() < this.#suspectsUntil;
  }

  #room({ batch, concurrency }: DeliverySubscription): number {
    const free = concurrency - this.#running.size;
    const quick =
      this.#meanMs === undefined ? free : Math.floor((concurrency * bufferMs) / this.#meanMs);
    return Math.min(batch, Math.max(1, free, quick));
  }

  async #sliceOver(): Promise<boolean> {
    if (performance.now() < this.#sliceEnd) return false;
    this.#sliceEnd = performance.now() + this.#parts.sliceMs;
    return await this.#parts.crowded(this.subKey);
  }

  #change(withinMs?: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = withinMs === undefined ? undefined : setTimeout(resolve, withinMs);
      this.#changed = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** A sign of life, for the messages and for the subscription. */
  #keep(): void {
    const { broker, leaseMs, subscriptions, told } = this.#parts;
    broker.awake(this.subKey).catch((error: unknown) => told.trouble(this.subKey, error));
    const held = [...this.#leased.values()];
    if (held.length === 0) return;
    const ms = Math.min(leaseMs, subscriptions.get(this.subKey)?.leaseMs ?? leaseMs);
    broker
      .extend(this.subKey, held, ms)
      .then((extended) => {
        for (const [at, { token }] of held.entries()) {
          if (extended[at] === false) this.#leased.delete(token);
        }
      })
      .catch((error: unknown) => told.trouble(this.subKey, error));
  }

  async #end(): Promise<void> {
    const ahead = await this.#ahead?.catch(() => []);
    this.#buffer.push(...(ahead ?? []));
    const unbegun = this.#buffer.filter(({ token }) => this.#leased.has(token));
    this.#buffer = [];
    for (const { message, token } of unbegun) {
      void this.#settlement.reject({ message, token, countFailure: false });
    }
    while (this.#running.size > 0) await this.#change();
    await this.#settlement.flushed();
  }
}
