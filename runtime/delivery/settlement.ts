import { setTimeout as wait } from 'node:timers/promises';
import type { Delivery, Lease } from '../pubsub/message.ts';
import type { DeliveryBroker, Rejection, Settled } from './ports.ts';

export interface SettlementOptions {
  readonly broker: Pick<DeliveryBroker, 'ack' | 'reject'>;
  readonly subKey: string;
  /** No longer held: it is settled, or its lease will run out. */
  readonly onEnd: (token: string) => void;
  /** Redis took none of these: they will be delivered again. */
  readonly onLost: (error: unknown, messages: number) => void;
}

interface Pending {
  readonly rejection: Lease & Rejection;
  readonly resolve: (settled: Settled) => void;
}

/** Redis may be restarting: what was delivered should not be delivered again for that. */
const retryWaitsMs = [100, 400, 1_000, 2_000, 4_000, 4_000];
const most = 500;
const momentMs = 4;

/** Tells the broker how deliveries ended: what ends together is told together. */
export class Settlement {
  readonly #options: SettlementOptions;
  readonly #giveUp = new AbortController();
  #acks: Lease[] = [];
  #rejections: Pending[] = [];
  #flushing: Promise<void> | undefined;
  #awaited = false;
  #now: () => void = () => {};

  constructor(options: SettlementOptions) {
    this.#options = options;
  }

  ack({ message, token }: Delivery): void {
    this.#acks.push({ message, token });
    this.#kick();
  }

  reject(rejection: Lease & Rejection): Promise<Settled> {
    return new Promise((resolve) => {
      this.#rejections.push({ rejection, resolve });
      this.#kick();
    });
  }

  /** Ends at once when somebody waits for it. */
  #moment(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, momentMs);
      this.#now = () => {
        clearTimeout(timer);
        resolve();
      };
      if (this.#awaited) setImmediate(this.#now);
    });
  }

  /** Everything told so far has reached Redis, or never will. */
  async flushed(): Promise<void> {
    this.#awaited = true;
    this.#now();
    while (this.#flushing !== undefined) await this.#flushing;
    this.#awaited = false;
  }

  /** Nothing is tried again from now on. */
  hurry(): void {
    this.#giveUp.abort();
  }

  #kick(): void {
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = undefined;
    });
  }

  async #flush(): Promise<void> {
    // What ends in these moments goes along.
    await this.#moment();
    while (this.#acks.length > 0 || this.#rejections.length > 0) {
      const acks = this.#acks.splice(0, most);
      const rejections = this.#rejections.splice(0, most);
      await Promise.all([this.#ack(acks), this.#reject(rejections)]);
    }
  }

  async #ack(leases: readonly Lease[]): Promise<void> {
    if (leases.length === 0) return;
    const { broker, subKey, onEnd } = this.#options;
    await this.#tell(() => broker.ack(subKey, leases), leases.length);
    for (const { token } of leases) onEnd(token);
  }

  async #reject(pending: readonly Pending[]): Promise<void> {
    if (pending.length === 0) return;
    const { broker, subKey, onEnd } = this.#options;
    const rejections = pending.map(({ rejection }) => rejection);
    const settled = await this.#tell(() => broker.reject(subKey, rejections), rejections.length);
    for (const [at, { rejection, resolve }] of pending.entries()) {
      onEnd(rejection.token);
      resolve(settled?.[at] ?? 'gone');
    }
  }

  async #tell<T>(tell: () => Promise<T>, messages: number): Promise<T | undefined> {
    const { signal } = this.#giveUp;
    for (let attempt = 0; ; attempt++) {
      try {
        return await tell();
      } catch (error) {
        const waitMs = retryWaitsMs[attempt];
        if (waitMs === undefined || signal.aborted) {
          this.#options.onLost(error, messages);
          return undefined;
        }
        await wait(waitMs, undefined, { signal }).catch(() => {});
      }
    }
  }
}
